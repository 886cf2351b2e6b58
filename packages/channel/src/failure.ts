import { SylphError } from '@sylph/model';
import { cleanText } from './clean-text.ts';

/** The guest or its ports did not do what they should. `message` may hold guest text: it is cleaned here. */
export function agentFailed(message: string, cause?: unknown): SylphError {
  return new SylphError('agent_failed', cleanText(message, 512), { cause });
}

/** Text of anything thrown. */
export function textOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
