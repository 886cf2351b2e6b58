import type { GuestHello } from '@sylph/engine';
import { type ControlReply, guestWireVersion } from '@sylph/model';
import { cleanText } from './clean-text.ts';
import { agentFailed } from './failure.ts';

/** What a guest says of itself in its answer to `hello` or `resume`. Throws `agent_failed` when it refused or speaks another version. */
export function readHello(reply: ControlReply): GuestHello {
  if (!reply.ok) throw refused(reply.error ?? reply.code ?? 'no reason given');
  const version = reply.version ?? guestWireVersion;
  if (version !== guestWireVersion)
    throw refused(`it speaks version ${version} of the guest wire, not ${guestWireVersion}`);
  return {
    version,
    agent: cleanText(reply.agent ?? '', 128),
    kernel: cleanText(reply.kernel ?? '', 128),
    bootId: cleanText(reply.bootId ?? '', 64),
  };
}

function refused(reason: string): Error {
  return agentFailed(`the guest's agent refused hello: ${reason}`);
}
