import { type ControlReply, SylphError } from '@sylph/model';
import { cleanText } from './clean-text.ts';

/** The guest or its ports did not do what they should. `message` may hold guest text: it is cleaned here. */
export function agentFailed(message: string, cause?: unknown): SylphError {
  return new SylphError('agent_failed', cleanText(message, 512), { cause });
}

/** The answer to `op` is a refusal: why, as far as the guest said. */
export function refused(op: string, reply: ControlReply): SylphError {
  return agentFailed(`the guest's agent refused ${op}: ${reply.error ?? reply.code ?? 'no reason given'}`);
}

/** The guest's agent is of the first days and knows nothing of `what`. */
export function tooOld(what: string): SylphError {
  return new SylphError('agent_failed', `the sprite's agent is too old ${what}`, {
    hint: 'Upgrade it: POST …/upgrade, or `sylph upgrade`.',
  });
}

/** Text of anything thrown. */
export function textOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
