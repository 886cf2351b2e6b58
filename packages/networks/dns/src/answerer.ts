import type { StringAnswer } from 'dns-packet';
import { isIP } from 'node:net';
import type { AdmittedAddress, DnsClient, NameDenialReason } from './client.ts';
import type { ClientState } from './client-state.ts';
import { addressText, parseNetwork } from './cidr.ts';
import { isLocalName, networkOfReverseName } from './local-names.ts';
import { bindingTypes, emptyReply, writable, type Answer, type Query, type Reply } from './message.ts';
import type { NameDecision } from './policy.ts';
import type { Resolution, Resolver } from './resolver.ts';
import { withoutHints } from './service-binding.ts';
import type { SpecialRanges } from './special-ranges.ts';

/** Types that are looked up. The others are for name servers, or carry what could not be checked. */
const types: ReadonlySet<string> = new Set([
  ...['A', 'AAAA', 'CNAME', 'MX', 'TXT', 'SRV', 'NS', 'SOA', 'PTR', 'CAA'],
  ...Object.values(bindingTypes),
]);
const refusedTypes: ReadonlySet<string> = new Set(['ANY', 'AXFR', 'IXFR']);
/** One question's time in all: less than the 5 s after which the C library asks again. */
const questionMs = 4_500;
/** Time to make an answer's addresses reachable. */
const admitMs = 2_000;
/** An address may be spoken to for longer than its answer lives: programs keep it a little. */
const graceS = 60;
/** A policy that changes with every answer is not run after. */
const maxJudgements = 3;

/** Ends the way to an answer: what is asked for is refused, and told to whoever keeps account. */
class Refusal extends Error {
  readonly reason: NameDenialReason;

  constructor(reason: NameDenialReason) {
    super(`refused: ${reason}`);
    this.reason = reason;
  }
}

/** Answers a sprite's questions by its policy. */
export class Answerer {
  readonly #resolver: Pick<Resolver, 'resolve'>;
  readonly #special: SpecialRanges;

  constructor(resolver: Pick<Resolver, 'resolve'>, special: SpecialRanges) {
    this.#resolver = resolver;
    this.#special = special;
  }

  /** Never rejects: what could not be found out is SERVFAIL. */
  async answer(query: Query, client: DnsClient, state: ClientState): Promise<Reply> {
    const given = this.#answerHere(query);
    if (given) return given;
    const name = query.canonical as string;
    const signal = AbortSignal.timeout(questionMs);
    try {
      for (let judgement = 1; judgement <= maxJudgements; judgement++) {
        const reply = await this.#judged(name, query.type, { client, state, signal });
        if (reply) return reply;
      }
      return emptyReply('SERVFAIL');
    } catch (error) {
      if (!(error instanceof Refusal)) return emptyReply('SERVFAIL');
      client.denied(name, error.reason);
      return emptyReply('REFUSED');
    }
  }

  /** What is answered whatever the policy, without asking anyone. */
  #answerHere(query: Query): Reply | undefined {
    const { canonical: name, type } = query;
    if (query.otherOperation) return emptyReply('NOTIMP');
    if (query.class !== 'IN' || refusedTypes.has(type)) return emptyReply('REFUSED');
    if (!types.has(type)) return emptyReply('NOTIMP');
    if (name === undefined) return emptyReply('NXDOMAIN');
    const reverse = networkOfReverseName(name);
    if (reverse && this.#special.blocksNetwork(reverse)) return emptyReply('NXDOMAIN');
    // Where an operator has opened private networks, their names lead to addresses there, and to nothing else.
    const opened = this.#special.hasExceptions && (type === 'A' || type === 'AAAA') && name.includes('.');
    return isLocalName(name) && !opened ? emptyReply('NXDOMAIN') : undefined;
  }

  /** Undefined when the policy changed meanwhile. */
  async #judged(
    name: string,
    type: string,
    { client, state, signal }: { client: DnsClient; state: ClientState; signal: AbortSignal },
  ): Promise<Reply | undefined> {
    const { policy } = client;
    const decision = policy.decide(name);
    if (decision.action === 'deny') throw new Refusal('policy');
    const onTarget = (target: string): void => {
      if (forbids(policy.decide(target))) throw new Refusal('policy');
      if (isLocalName(target) && !isLocalName(name)) throw new Refusal('rebinding');
    };
    const found = await this.#resolver.resolve({ name, type }, { cache: state.cache, onTarget, signal });
    const answers = this.#checked(found, name);
    const admitted = answers.filter(isAddress).map((record): AdmittedAddress => ({
      name,
      address: shortest(record.data),
      ttlS: found.ttlS + graceS,
      ...(decision.ports === undefined ? {} : { ports: decision.ports }),
    }));
    if (admitted.length > 0) await withDeadline(client.admit(admitted, policy), admitMs);
    if (client.policy !== policy) return undefined;
    return {
      rcode: found.rcode,
      answers: answers.map((record) => Object.assign({}, record, { ttl: found.ttlS })),
      authorities: found.soa === undefined ? [] : [Object.assign({}, found.soa, { ttl: found.ttlS })],
    };
  }

  /** Without records that point where no sprite may go. When that was all, it is an attempt to lead it there. */
  #checked({ answers }: Resolution, name: string): Answer[] {
    const kept = answers.flatMap((record): Answer[] => {
      if (isAddress(record)) return this.#mayPoint(record.data, name) ? [record] : [];
      const type: string = record.type;
      if (type === bindingTypes.HTTPS || type === bindingTypes.SVCB) {
        const data = withoutHints((record as unknown as { data: Buffer }).data);
        return data === undefined ? [] : [Object.assign({}, record, { data })];
      }
      return isWhole(record) ? [record] : [];
    });
    if (answers.some(isAddress) && !kept.some(isAddress)) throw new Refusal('rebinding');
    return kept;
  }

  #mayPoint(address: string, name: string): boolean {
    return (
      isIP(address) !== 0 && !this.#special.blocks(address) && (!isLocalName(name) || this.#special.opens(address))
    );
  }
}

/** Whether a rule speaks against a name that another name leads to. What no rule is about, or only `*`, is part of the answer for the name that was asked for. */
function forbids({ action, matched }: NameDecision): boolean {
  return action === 'deny' && (matched === 'name' || matched === 'suffix');
}

function isAddress(record: Answer): record is StringAnswer {
  return record.type === 'A' || record.type === 'AAAA';
}

/** Whether the names in a record can be written again as they were read. */
function isWhole(record: Answer): boolean {
  switch (record.type) {
    case 'CNAME':
    case 'NS':
    case 'PTR':
      return writable(record.data);
    case 'MX':
      return writable(record.data.exchange);
    case 'SRV':
      return writable(record.data.target);
    case 'SOA':
      return writable(record.data.mname);
    default:
      return true;
  }
}

function shortest(address: string): string {
  const { base, family } = parseNetwork(address);
  return addressText(base, family);
}

async function withDeadline(work: Promise<void>, deadlineMs: number): Promise<void> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`addresses were not admitted within ${deadlineMs} ms`)), deadlineMs);
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
