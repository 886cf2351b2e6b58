import type { GuestHello } from '@sylph/engine';
import { type ControlReply, guestWireVersion } from '@sylph/model';
import { cleanText } from './clean-text.ts';
import { agentFailed } from './failure.ts';

/** What a guest says of itself in an answer to `hello` or `resume` that is `ok`. Throws `agent_failed` when it speaks another version of the wire. */
export function readHello(reply: ControlReply): GuestHello {
  const version = reply.version ?? guestWireVersion;
  if (version !== guestWireVersion)
    throw agentFailed(`the guest's agent speaks version ${version} of the guest wire, not ${guestWireVersion}`);
  return {
    version,
    agent: cleanText(reply.agent ?? '', 128),
    kernel: cleanText(reply.kernel ?? '', 128),
    bootId: cleanText(reply.bootId ?? '', 64),
  };
}
