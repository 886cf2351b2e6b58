import { isUtf8 } from 'node:buffer';
import type { Session, SessionEvent } from '@sylph/engine';
import { SylphError, type Job, type JobLogLine, type jobLogsQuery } from '@sylph/model';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type * as z from 'zod';
import { FlowingAnswer } from './flowing-answer.ts';
import type { Place } from './live.ts';
import { vanished } from './vanished.ts';

type LogEvent = Exclude<SessionEvent, { type: 'end' }>;
type Output = Extract<SessionEvent, { type: 'output' }>;

/** What of a job's output is wanted. */
interface Wanted {
  session: Session;
  query: z.output<typeof jobLogsQuery>;
  /** The job as it is when asked. */
  answer: () => Job;
  /** A quiet stream of lines gets one after so long, ms. */
  keepAliveMs: number;
}

/** Answers with the output of a job. Throws `invalid_request` for an offset beyond it. */
export async function sendLogs(
  request: FastifyRequest,
  reply: FastifyReply,
  place: Place,
  { session, query, answer, keepAliveMs }: Wanted,
): Promise<void> {
  const { offset = 0, follow = false, stream } = query;
  if (offset > session.endOffset) {
    throw new SylphError(
      'invalid_request',
      `offset ${offset} lies beyond the output so far, ${session.endOffset} bytes`,
    );
  }
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
    const until = follow || session.end !== undefined ? Infinity : session.endOffset;
    for await (const event of logEvents(session, offset, until, gone)) {
      if (event.type === 'output' && stream !== undefined && event.stream !== stream) continue;
      await flowing.write(asLines ? `${JSON.stringify(lineOf(event))}\n` : bytesOf(event), gone);
    }
    if (asLines && session.end !== undefined) {
      const line: JobLogLine = { type: 'end', offset: session.endOffset, job: answer() };
      await flowing.write(`${JSON.stringify(line)}\n`, gone);
    }
    flowing.end();
  } catch (error) {
    if (!gone.aborted) request.log.error({ err: error, sessionId: session.id }, 'the output of a job cannot be read');
    flowing.cut();
  }
}

/** What lies between `offset` and `until`, or the end of a job. */
async function* logEvents(
  session: Session,
  offset: number,
  until: number,
  signal: AbortSignal,
): AsyncIterable<LogEvent> {
  if (offset >= until) return;
  for await (const event of session.read({ offset, signal })) {
    if (event.type === 'end') return;
    yield event;
    if ((event.type === 'output' ? event.offset + event.bytes.length : event.to) >= until) return;
  }
}

function bytesOf(event: LogEvent): Buffer {
  return event.type === 'output'
    ? event.bytes
    : Buffer.from(`[output from byte ${event.from} to ${event.to} is gone]\n`);
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
