import { setTimeout as sleep } from 'node:timers/promises';
import type { NetworkGuest } from '@sylph/engine';
import type { NetworkDenial, NetworkPolicy } from '@sylph/model';
import type { AdmittedAddress, CompiledPolicy, DnsClient, NameDenialReason, SpecialRanges } from '@sylph/network-dns';
import { reasonOf, takeDenied } from './denials.ts';
import type { Inheritance } from './inheritance.ts';
import type { Slot } from './plan.ts';
import { KnownAddresses } from './known-addresses.ts';
import { admissionRules, firstGeneration, slotPolicyRules, type SlotRules } from './slot-table.ts';
import { nft } from './tools.ts';

/** How many times as long as letting addresses through took nothing is done before the next: a guest that asks for ever new names gets a third of a processor at most, and its answers together. */
const admissionRest = 2;
/** Names denied that are counted until they are asked for. */
const maxDeniedNames = 512;

/** What an attachment needs from its network. */
export interface AttachmentDeps {
  compile(policy: NetworkPolicy): CompiledPolicy;
  /** Names a policy together with all that its rules are made from besides. */
  digest(policy: NetworkPolicy): string;
  rules: SlotRules;
  special: SpecialRanges;
}

/** Answers of one policy that go into the slot together. */
interface Waiting {
  answers: AdmittedAddress[];
  judgedBy: CompiledPolicy;
  done: Promise<void>;
}

/** A sprite in its slot: its policy, and the addresses its names led to. All changes to the slot go through one queue. */
export class Attachment implements DnsClient {
  guest: NetworkGuest;
  readonly slot: Slot;
  readonly #deps: AttachmentDeps;
  /** Of the rules in the slot. */
  #generation = firstGeneration;
  /** Of the policy in force; undefined: the slot may hold any rules. */
  #digest: string | undefined;
  #policy: CompiledPolicy;
  readonly #known = new KnownAddresses();
  readonly #deniedNames = new Map<string, NetworkDenial>();
  #queue: Promise<unknown> = Promise.resolve();
  #waiting: Waiting | undefined;
  /** The last time addresses were let through. */
  #admission = { endedAt: 0, tookMs: 0 };

  /** In a slot that was made a moment ago and restricts nothing. */
  constructor(guest: NetworkGuest, slot: Slot, deps: AttachmentDeps) {
    this.guest = guest;
    this.slot = slot;
    this.#deps = deps;
    const none = { rules: [] };
    this.#policy = deps.compile(none);
    this.#digest = deps.digest(none);
  }

  /** In a slot of an earlier daemon: what it holds is in force until it is asked for its policy. */
  static async inherit(
    guest: NetworkGuest,
    slot: Slot,
    deps: AttachmentDeps,
    left: Inheritance | undefined,
  ): Promise<Attachment> {
    const attachment = new Attachment(guest, slot, deps);
    // Without a word of it: beyond whatever it counted to.
    attachment.#generation = left?.generation ?? Math.floor(Date.now() / 1000);
    attachment.#digest = undefined;
    if (!left) return attachment;
    attachment.#known.inherit(left.addresses, Date.now());
    const policy = await guest.policy();
    if (deps.digest(policy) !== left.digest) return attachment;
    attachment.#policy = deps.compile(policy);
    attachment.#digest = left.digest;
    return attachment;
  }

  get policy(): CompiledPolicy {
    return this.#policy;
  }

  /** Asks for the policy and puts it in force. A slot whose policy has not changed is not touched. */
  enforce(): Promise<void> {
    return this.#enqueue(async () => {
      const policy = await this.guest.policy();
      const digest = this.#deps.digest(policy);
      if (digest === this.#digest) return;
      this.#digest = undefined;
      // From here on nothing is admitted that the old one allowed.
      this.#policy = this.#deps.compile(policy);
      this.#generation += 1;
      const { compiled, generation } = { compiled: this.#policy, generation: this.#generation };
      const addresses = this.#known.judge(compiled, Date.now());
      const { rules } = this.#deps;
      await nft(slotPolicyRules({ generation, digest, rules, policy: compiled, ...addresses }), this.slot.name);
      this.#digest = digest;
    });
  }

  async admit(answers: readonly AdmittedAddress[], judgedBy: CompiledPolicy): Promise<void> {
    if (!this.#policy.restricted) return;
    const fresh = this.#known.news(answers, Date.now());
    if (fresh.length === 0 || judgedBy !== this.#policy) return;
    // Answers that come while others are being admitted go together.
    if (this.#waiting?.judgedBy === judgedBy) {
      this.#waiting.answers.push(...fresh);
      return this.#waiting.done;
    }
    const waiting: Waiting = { answers: fresh, judgedBy, done: Promise.resolve() };
    this.#waiting = waiting;
    waiting.done = this.#enqueue(async () => {
      if (this.#waiting === waiting) this.#waiting = undefined;
      const restMs = this.#admission.endedAt + this.#admission.tookMs * admissionRest - performance.now();
      if (restMs > 0) await sleep(restMs);
      if (judgedBy !== this.#policy) return;
      const startedAt = performance.now();
      const { admitted, forgotten } = this.#known.add(waiting.answers, Date.now());
      try {
        await nft(admissionRules(admitted, forgotten), this.slot.name);
      } catch (error) {
        // Nobody is told of them as reachable: the next answer tries again.
        this.#known.forget(waiting.answers);
        throw error;
      }
      const endedAt = performance.now();
      this.#admission = { endedAt, tookMs: endedAt - startedAt };
    });
    return waiting.done;
  }

  denied(name: string, reason: NameDenialReason): void {
    const now = new Date().toISOString();
    const known = this.#deniedNames.get(`${reason} ${name}`);
    if (known) {
      known.count += 1;
      known.last_at = now;
    } else if (this.#deniedNames.size < maxDeniedNames) {
      const nothing = { port: null, protocol: null, name: null };
      this.#deniedNames.set(`${reason} ${name}`, {
        ...{ kind: 'name', target: name, ...nothing, reason, count: 1 },
        ...{ first_at: now, last_at: now },
      });
    }
  }

  /** What was denied since the last time. */
  async takeDenials(): Promise<NetworkDenial[]> {
    const names = [...this.#deniedNames.values()];
    this.#deniedNames.clear();
    const addresses = await this.#enqueue(() => takeDenied(this.slot.name));
    return [
      ...names,
      ...addresses.map((denied): NetworkDenial => {
        const name = this.#known.nameOf(denied.address) ?? null;
        const at = denied.lastAt.toISOString();
        const known = { special: this.#deps.special.blocks(denied.address), named: name !== null };
        const { address: target, port, protocol, count } = denied;
        return {
          ...{ kind: 'address', target, port, protocol, name, reason: reasonOf(denied, known) },
          ...{ count, first_at: at, last_at: at },
        };
      }),
    ];
  }

  /** Resolves when nothing is under way in the slot. */
  async idle(): Promise<void> {
    // Whoever asked for what failed was told.
    await this.#queue.catch(() => undefined);
  }

  #enqueue<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work, work);
    this.#queue = result;
    // Its caller has the failure.
    result.catch(() => {});
    return result;
  }
}
