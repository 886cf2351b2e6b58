import type { AdmittedAddress, CompiledPolicy } from '@sylph/network-dns';
import { maxAdmitted, type Admission } from './slot-table.ts';

/** An answer that lives nearly as long as the last is no news. */
const slackMs = 1_000;

interface Known extends AdmittedAddress {
  expiresAt: number;
}

/** Addresses that a sprite's names led to, at most {@link maxAdmitted}, each port of one counted: the least recently given out are forgotten first. Kept beyond their time, for connections that live longer than answers. */
export class KnownAddresses {
  /** By name and address, the least recently given out first. */
  readonly #known = new Map<string, Known>();

  /** Remembers what an earlier daemon let through. */
  inherit(admissions: readonly Admission[], now: number): void {
    for (const { name, address, ports, timeoutS } of admissions) {
      const known = { name, address, expiresAt: now + timeoutS * 1000, ...(ports === undefined ? {} : { ports }) };
      this.#known.set(keyOf({ ...known, ttlS: timeoutS }), { ...known, ttlS: timeoutS });
    }
  }

  /** Those of the answers that bring something new. */
  news(answers: readonly AdmittedAddress[], now: number): AdmittedAddress[] {
    return answers.filter((answer) => {
      const known = this.#known.get(keyOf(answer));
      return known === undefined || known.expiresAt < now + answer.ttlS * 1000 - slackMs;
    });
  }

  /** Remembers answers. Returns what has to get into the slot, each address with the longest time any of its names gives it, and what is forgotten for their sake. */
  add(answers: readonly AdmittedAddress[], now: number): { admitted: Admission[]; forgotten: Admission[] } {
    for (const answer of answers) {
      this.#known.delete(keyOf(answer));
      this.#known.set(keyOf(answer), { ...answer, expiresAt: now + answer.ttlS * 1000 });
    }
    const forgotten = this.#forget().map((known) => admissionOf(known, now));
    const longest = new Map<string, number>();
    for (const { address, expiresAt } of this.#known.values())
      longest.set(address, Math.max(longest.get(address) ?? 0, expiresAt));
    const admitted = answers.map((answer) =>
      admissionOf({ ...answer, expiresAt: longest.get(answer.address) ?? now + answer.ttlS * 1000 }, now),
    );
    return { admitted, forgotten };
  }

  /** Forgets answers that did not get into the slot. */
  forget(answers: readonly AdmittedAddress[]): void {
    for (const answer of answers) this.#known.delete(keyOf(answer));
  }

  /** Under a changed policy: which addresses may still be spoken to, and which only by connections there are. Those of names it denies are forgotten. */
  judge(policy: CompiledPolicy, now: number): { admitted: Admission[]; grace: Admission[] } {
    const admitted: Admission[] = [];
    const grace: Admission[] = [];
    for (const [key, { ports: _ports, ...known }] of this.#known) {
      const decision = policy.decide(known.name);
      if (decision.action === 'deny') {
        this.#known.delete(key);
        continue;
      }
      const judged: Known = decision.ports === undefined ? known : { ...known, ports: decision.ports };
      this.#known.set(key, judged);
      grace.push(admissionOf(judged, now));
      if (judged.expiresAt > now) admitted.push(admissionOf(judged, now));
    }
    return { admitted, grace };
  }

  /** The name that led to an address last. */
  nameOf(address: string): string | undefined {
    return [...this.#known.values()].findLast((known) => known.address === address)?.name;
  }

  #forget(): Known[] {
    let count = 0;
    for (const known of this.#known.values()) count += weightOf(known);
    const out: Known[] = [];
    for (const [key, known] of this.#known) {
      if (count <= maxAdmitted) break;
      this.#known.delete(key);
      count -= weightOf(known);
      out.push(known);
    }
    const still = new Set([...this.#known.values()].map(({ address }) => address));
    return out.filter(({ address }) => !still.has(address));
  }
}

function keyOf({ name, address }: AdmittedAddress): string {
  return `${name} ${address}`;
}

function weightOf({ ports }: Known): number {
  return ports?.length ?? 1;
}

function admissionOf({ name, address, ports, expiresAt }: Known, now: number): Admission {
  return { name, address, ports, timeoutS: Math.max(1, Math.ceil((expiresAt - now) / 1000)) };
}
