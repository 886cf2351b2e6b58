import type { NetworkDenial } from '@sylph/model';
import type { CompiledPolicy } from './policy.ts';

/** An address a name led to. */
export interface AdmittedAddress {
  /** The name that was asked for, whichever names led on from it. Canonical. */
  name: string;
  /** IPv4 or IPv6, in its shortest form. */
  address: string;
  /** How long it may be spoken to from now on: a little longer than the answer lives, for programs keep addresses. */
  ttlS: number;
  /** TCP and UDP ports it may be spoken to at; absent: all. */
  ports?: readonly number[];
}

/** Why a name was refused. */
export type NameDenialReason = Extract<NetworkDenial['reason'], 'policy' | 'rebinding' | 'rate'>;

/** Who asks: a sprite, for as long as it has its place in the network. Its cache hangs on this object, so another sprite has to be another object. */
export interface DnsClient {
  /** What is in force now. Read for each question, and again before its answer goes out. */
  readonly policy: CompiledPolicy;
  /**
   * Makes addresses reachable; the answer goes out when this resolves, and not at all (SERVFAIL) when it rejects or takes longer than a few seconds. Called for answers from the cache too, with their remaining time.
   * `judgedBy` is the policy that let the name through: where it is no longer in force, the addresses must not be admitted, and the question is judged anew.
   */
  admit(answers: readonly AdmittedAddress[], judgedBy: CompiledPolicy): Promise<void>;
  /** Called once for each refused question, for `rate` at most once a second. Must not throw and should be cheap. */
  denied(name: string, reason: NameDenialReason): void;
}
