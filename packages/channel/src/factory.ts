import { setTimeout as sleep } from 'node:timers/promises';
import type { ChannelFactory, GuestChannel, GuestHello } from '@sylph/engine';
import { type ControlReply, type SylphError, guestWireVersion } from '@sylph/model';
import { cleanText } from './clean-text.ts';
import { ControlPort } from './control-port.ts';
import { withDeadline } from './deadline.ts';
import { agentFailed, textOf } from './failure.ts';
import { PortsChannel } from './guest-channel.ts';
import { connectWhenListening } from './unix-socket.ts';

/** Pauses between repetitions of `hello`, ms: a booting guest opens its port late, and what was sent before may be lost or delivered then. */
const helloRepeatMs = [20, 20, 30, 40, 60, 80, 100] as const;

/** Pause before asking again a guest that answers but cannot run processes yet, ms. */
const notReadyPauseMs = 20;

/** Makes channels over the two Unix sockets of a VM. Stateless. */
export class ControlAndDataChannels implements ChannelFactory {
  connect(
    sockets: { data: string; control: string },
    options: { deadlineMs: number; signal: AbortSignal },
  ): Promise<GuestChannel> {
    return withDeadline('hello', options.deadlineMs, (signal) => connectUntilReady(sockets, signal), options.signal);
  }
}

async function connectUntilReady(
  sockets: { data: string; control: string },
  signal: AbortSignal,
): Promise<GuestChannel> {
  for (;;) {
    const control = new ControlPort(await connectWhenListening(sockets.control, signal));
    try {
      return new PortsChannel(control, sockets.data, await greet(control, signal));
    } catch (error) {
      const guestClosed = control.isClosed && !control.flooded;
      control.close(textOf(error));
      signal.throwIfAborted();
      if (!guestClosed) throw error;
      // The port closed under us, as it does when the VM's process has only just begun to listen; the deadline ends the repetition.
      await sleep(notReadyPauseMs, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }
}

async function greet(control: ControlPort, signal: AbortSignal): Promise<GuestHello> {
  for (;;) {
    const reply = await control.request(
      { op: 'hello', versions: [guestWireVersion] },
      { signal, repeatMs: helloRepeatMs },
    );
    if (!reply.ok) throw refused(reply);
    if (reply.version !== undefined && reply.version !== guestWireVersion)
      throw refused({
        ...reply,
        error: `it speaks version ${reply.version} of the guest wire, not ${guestWireVersion}`,
      });
    if (reply.ready === true) return toHello(reply);
    await sleep(notReadyPauseMs, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}

function refused(reply: ControlReply): SylphError {
  return agentFailed(`the guest's agent refused hello: ${reply.error ?? reply.code ?? 'no reason given'}`);
}

function toHello(reply: ControlReply): GuestHello {
  return {
    version: reply.version ?? guestWireVersion,
    agent: cleanText(reply.agent ?? '', 128),
    kernel: cleanText(reply.kernel ?? '', 128),
    bootId: cleanText(reply.bootId ?? '', 64),
  };
}
