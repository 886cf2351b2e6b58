import type { SoaAnswer, StringAnswer } from 'dns-packet';
import type { AnswerCache, Known } from './cache.ts';
import { writable, type Answer, type UpstreamReply, rcodes } from './message.ts';
import { canonicalName } from './names.ts';
import type { Upstreams } from './upstreams.ts';

/** Names one answer may lead over. */
const maxHops = 16;
/** Records of one answer. */
const maxRecords = 64;
/** Bounds of how long an answer is kept and said to live, s. */
const ttlBounds = { min: 5, max: 3_600 };
/** The same where there is nothing. */
const negativeBounds = { min: 5, max: 300 };

/** What a name has of a type. */
export interface Resolution {
  rcode: Known['rcode'];
  /** CNAME records in the order in which they lead on, then those of the type. */
  answers: readonly Answer[];
  soa: Answer | undefined;
  /** What remains, at least 1. */
  ttlS: number;
}

/** Finds what a name has of a type, following CNAME records. Of what name servers say, only what leads from the name asked for is taken. */
export class Resolver {
  readonly #upstreams: Pick<Upstreams, 'ask'>;

  constructor(upstreams: Pick<Upstreams, 'ask'>) {
    this.#upstreams = upstreams;
  }

  /** `onTarget` is called for each name the answer leads over, before that name is asked for; what it throws ends the search. Rejects when no server answers in time, or names lead in a circle. */
  async resolve(
    question: { name: string; type: string },
    options: { cache: AnswerCache; onTarget: (name: string) => void; signal: AbortSignal },
  ): Promise<Resolution> {
    const answers: Answer[] = [];
    const seen = new Set([question.name]);
    let { name } = question;
    let expiresAt = Number.POSITIVE_INFINITY;
    for (;;) {
      const known = await this.#know(name, question.type, options);
      expiresAt = Math.min(expiresAt, known.expiresAt);
      const next = this.#lead(known, name, question.type, { answers, seen, onTarget: options.onTarget });
      // A server that says that there is nothing at the end has been there.
      if (next === undefined || next === name || known.soa !== undefined || known.rcode === 'NXDOMAIN') {
        const ttlS = Math.max(1, Math.ceil((expiresAt - performance.now()) / 1_000));
        return { rcode: known.rcode, answers, soa: known.soa, ttlS };
      }
      name = next;
    }
  }

  /** Adds to `answers` what leads from `name` on. Answers the name at which it ends, undefined when records of the type have been found. */
  #lead(
    known: Known,
    from: string,
    type: string,
    { answers, seen, onTarget }: { answers: Answer[]; seen: Set<string>; onTarget: (name: string) => void },
  ): string | undefined {
    let name = from;
    for (;;) {
      const own = known.answers.filter((record) => canonicalName(record.name) === name);
      const found = own.filter((record) => record.type === type);
      if (found.length > 0) {
        answers.push(...found.slice(0, maxRecords));
        return undefined;
      }
      const alias = own.find((record): record is StringAnswer => record.type === 'CNAME');
      if (!alias) return name;
      const target = canonicalName(alias.data);
      if (target === undefined || seen.has(target) || seen.size > maxHops)
        throw new Error(`${from} leads in a circle, too far or nowhere`);
      onTarget(target);
      seen.add(target);
      answers.push(alias);
      name = target;
    }
  }

  async #know(
    name: string,
    type: string,
    { cache, signal }: { cache: AnswerCache; signal: AbortSignal },
  ): Promise<Known> {
    const cached = cache.get(name, type);
    if (cached) return cached;
    const known = knownFrom(await this.#upstreams.ask(name, type, signal));
    cache.put(name, type, known);
    return known;
  }
}

function knownFrom(reply: UpstreamReply): Known {
  const answers = reply.answers.filter((record) => writable(record.name));
  const soa = reply.authorities.find((record): record is SoaAnswer => record.type === 'SOA' && writable(record.name));
  const ttlS = answers.length > 0 && soa === undefined ? lifeOf(answers) : negativeLifeOf(soa);
  return {
    rcode: reply.rcode === rcodes.NXDOMAIN ? 'NXDOMAIN' : 'NOERROR',
    answers,
    soa,
    sizeBytes: reply.sizeBytes,
    expiresAt: performance.now() + ttlS * 1_000,
  };
}

function lifeOf(answers: readonly Answer[]): number {
  const shortest = Math.min(...answers.map((record) => ('ttl' in record ? (record.ttl ?? 0) : 0)));
  return Math.min(Math.max(shortest, ttlBounds.min), ttlBounds.max);
}

/** RFC 2308 section 5. */
function negativeLifeOf(soa: SoaAnswer | undefined): number {
  const said = Math.min(soa?.ttl ?? 0, soa?.data.minimum ?? 0);
  return Math.min(Math.max(said, negativeBounds.min), negativeBounds.max);
}
