import { isUtf8 } from 'node:buffer';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Session, SessionEvent } from '@sylph/engine';
import { SylphError, type Job, type JobLogLine, type jobLogsQuery } from '@sylph/model';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type * as z from 'zod';
import { FlowingAnswer } from './flowing-answer.ts';
import type { Place } from './live.ts';
import { vanished } from './vanished.ts';

/** A sprite that sleeps is looked at so often: its jobs print nothing meanwhile. */
const asleepLookMs = 1_000;

/** The output goes on at `to`, before `from`: the sprite was restored to a time when the job had not got further. */
interface Rewound {
  type: 'rewound';
  from: number;
  to: number;
}
type LogEvent = Exclude<SessionEvent, { type: 'end' }> | Rewound;
type Output = Extract<SessionEvent, { type: 'output' }>;

/** What of a job's output is wanted. */
interface Wanted {
  session: Session;
  query: z.output<typeof jobLogsQuery>;
  /** The job of that id as it is now: a restore puts another session in its place. Throws when there is none. */
  find: () => Promise<Session>;
  /** Whether its sprite runs. Throws when there is none. */
  awake: () => Promise<boolean>;
  answer: (session: Session) => Job;
  /** A quiet stream of lines gets one after so long, ms. */
  keepAliveMs: number;
}

/** Answers with the output of a job. One that is followed goes on through sleep and restores of its sprite. */
export async function sendLogs(
  request: FastifyRequest,
  reply: FastifyReply,
  place: Place,
  wanted: Wanted,
): Promise<void> {
  const { query, keepAliveMs } = wanted;
  const asLines = request.headers.accept?.includes('application/x-ndjson') === true;
  const gone = vanished(reply);
  const flowing = new FlowingAnswer(reply, place, {
    'content-type': asLines ? 'application/x-ndjson' : 'application/octet-stream',
  });
  try {
    // A client gives up a stream that says nothing for too long.
    using _beat = asLines
      ? flowing.beat(`${JSON.stringify({ type: 'heartbeat' } satisfies JobLogLine)}\n`, keepAliveMs)
      : undefined;
    const events = jobEvents(wanted, gone);
    let next = await events.next();
    for (; next.done !== true; next = await events.next()) {
      const event = next.value;
      if (event.type === 'output' && query.stream !== undefined && event.stream !== query.stream) continue;
      await flowing.write(asLines ? `${JSON.stringify(lineOf(event))}\n` : bytesOf(event), gone);
    }
    const session = next.value;
    if (asLines && session.end !== undefined) {
      const line: JobLogLine = { type: 'end', offset: session.endOffset, job: wanted.answer(session) };
      await flowing.write(`${JSON.stringify(line)}\n`, gone);
    }
    flowing.end();
  } catch (error) {
    if (!gone.aborted)
      request.log.error({ err: error, sessionId: wanted.session.id }, 'the output of a job cannot be read');
    flowing.cut();
  }
}

/** Output of a job, over all sessions it has in turn. Returns the last of them. */
async function* jobEvents(
  { session: first, query, find, awake }: Wanted,
  signal: AbortSignal,
): AsyncGenerator<LogEvent, Session, undefined> {
  const { offset = 0, follow = false } = query;
  for (let session = first, at = offset; ;) {
    if (at > session.endOffset) {
      yield { type: 'rewound', from: at, to: session.endOffset };
      at = session.endOffset;
    }
    const until = follow || session.end !== undefined ? Infinity : session.endOffset;
    for await (const event of logEvents(session, at, until, signal)) {
      at = event.type === 'output' ? event.offset + event.bytes.length : event.to;
      yield event;
    }
    const next = follow ? await successor(session, { find, awake }, signal) : undefined;
    if (next === undefined) return session;
    session = next;
  }
}

/** The session that the output goes on with: of one that its sprite fell asleep with, the same after the wake; of a lost one, what took its place. Undefined when the job has ended. */
async function successor(
  { end }: Session,
  { find, awake }: Pick<Wanted, 'find' | 'awake'>,
  signal: AbortSignal,
): Promise<Session | undefined> {
  if (end !== undefined && end.how !== 'lost') return undefined;
  try {
    if (end === undefined)
      do await sleep(asleepLookMs, undefined, { signal });
      while (!(await awake()));
    const found = await find();
    return found.end?.how === 'lost' && found.end.at === end?.at ? undefined : found;
  } catch (error) {
    // Removed meanwhile, or with its sprite: what the lost one tells is the last there is to tell.
    if (SylphError.from(error).status === 404) return undefined;
    throw error;
  }
}

/** What lies between `offset` and `until`, or the end of a job. */
async function* logEvents(
  session: Session,
  offset: number,
  until: number,
  signal: AbortSignal,
): AsyncIterable<Exclude<SessionEvent, { type: 'end' }>> {
  if (offset >= until) return;
  for await (const event of session.read({ offset, signal })) {
    if (event.type === 'end') return;
    yield event;
    if ((event.type === 'output' ? event.offset + event.bytes.length : event.to) >= until) return;
  }
}

function bytesOf(event: LogEvent): Buffer {
  switch (event.type) {
    case 'output':
      return event.bytes;
    case 'dropped':
      return Buffer.from(`[output from byte ${event.from} to ${event.to} is gone]\n`);
    case 'rewound':
      return Buffer.from(`[the job was taken back from byte ${event.from} of its output to ${event.to}]\n`);
    default:
      return event satisfies never;
  }
}

function lineOf(event: LogEvent): JobLogLine {
  return event.type === 'output' ? outputLine(event) : event;
}

/** Text as it is; bytes that are none, or cut in the middle of a character, as base64. */
function outputLine({ stream, offset, bytes }: Output): JobLogLine {
  return isUtf8(bytes)
    ? { type: stream, offset, data: bytes.toString('utf8') }
    : { type: stream, offset, data: bytes.toString('base64'), encoding: 'base64' };
}
