import type { ProcessStream } from '@sylph/engine';
import { type ExitPayload, type StartedPayload, SylphError } from '@sylph/model';
import { Acks } from './acks.ts';
import type { SessionInput } from './input.ts';
import type { Journal } from './journal/journal.ts';

/** Where a process's events go. */
export interface PumpTarget {
  readonly journal: Journal;
  readonly input: SessionInput;
  onStarted(started: StartedPayload, stream: ProcessStream): void;
  onOutput(bytes: number): void;
  /** The stream is of no use any more. */
  onDetached(): void;
}

/**
 * Moves a process's output into the journal until its exit, which it returns. Stops reading while the journal is full, which blocks the process in the guest;
 * acknowledges what the file system has. Throws what the stream throws. When `signal` fires the stream is closed. One pump per journal at a time.
 */
export async function pump(stream: ProcessStream, target: PumpTarget, signal: AbortSignal): Promise<ExitPayload> {
  const { journal, input } = target;
  const acks = new Acks(stream, journal.written);
  const close = () => stream.close();
  signal.addEventListener('abort', close, { once: true });
  journal.onWritten = (offset) => acks.written(offset);
  try {
    signal.throwIfAborted();
    const started = await stream.started;
    target.onStarted(started, stream);
    input.attach(stream, started.inputOffset);
    for await (const event of stream.events) {
      switch (event.type) {
        case 'output':
          if (event.offset !== journal.end)
            throw new SylphError('agent_failed', `output at ${event.offset} where the journal ends at ${journal.end}`);
          journal.append(event.stream, event.bytes, Date.now());
          target.onOutput(event.bytes.length);
          if (journal.full) await journal.room(signal);
          break;
        case 'stdin-ack':
          input.acknowledge(event.offset);
          break;
        case 'exit':
          return event.exit;
        default:
          event satisfies never;
      }
    }
    throw new SylphError('agent_failed', 'the stream of a process ended before its exit');
  } finally {
    signal.removeEventListener('abort', close);
    journal.onWritten = undefined;
    acks.stop();
    input.detach(stream);
    target.onDetached();
    stream.close();
  }
}
