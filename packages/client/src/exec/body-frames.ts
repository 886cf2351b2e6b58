import { execFrameType, type Frame } from '@sylph/model';
import { ClientError } from '../errors.ts';
import { parseObject } from '../json.ts';
import type { ExecFrame } from './frames.ts';

/** Reads a frame of an HTTP exec's body. Throws `session_lost` when nobody knows how the command ended. Unknown types are ignored: newer servers may have more. */
export function decodeBodyFrame({ type, payload }: Frame): ExecFrame {
  switch (type) {
    case execFrameType.stdout:
      return { type: 'output', chunk: { stream: 'stdout', bytes: payload } };
    case execFrameType.stderr:
      return { type: 'output', chunk: { stream: 'stderr', bytes: payload } };
    case execFrameType.exit:
      return endOf(payload);
    default:
      return { type: 'ignored' };
  }
}

function endOf(payload: Uint8Array): ExecFrame {
  const end = parseObject(payload);
  if (typeof end?.['lost'] === 'string')
    throw new ClientError('session_lost', `nobody knows how the command ended: ${end['lost']}`, {
      hint: 'look at what it has done before running it again',
    });
  const code = end?.['exit_code'];
  if (typeof code !== 'number' || !Number.isInteger(code) || code < 0 || code > 255)
    throw new ClientError('protocol', 'the server sent an exit without a code');
  return { type: 'exit', code };
}
