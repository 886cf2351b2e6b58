import { setTimeout as sleep } from 'node:timers/promises';
import type { ChannelFactory, GuestChannel, GuestHello } from '@sylph/engine';
import { type ResumeEvent, guestWireVersion } from '@sylph/model';
import { ControlPort } from './control-port.ts';
import { withDeadline } from './deadline.ts';
import { refused, textOf } from './failure.ts';
import { PortsChannel } from './guest-channel.ts';
import { readHello } from './hello.ts';
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
    return withDeadline(
      'hello',
      options.deadlineMs,
      (signal) =>
        untilOpen(
          sockets,
          async (control) => new PortsChannel(control, sockets.data, await greet(control, signal)),
          signal,
        ),
      options.signal,
    );
  }

  wake(
    sockets: { data: string; control: string },
    event: ResumeEvent,
    options: { deadlineMs: number; signal: AbortSignal },
  ): Promise<GuestChannel> {
    return withDeadline(
      'resume',
      options.deadlineMs,
      (signal) => untilOpen(sockets, (control) => PortsChannel.wake(control, sockets.data, event, signal), signal),
      options.signal,
    );
  }
}

/** Begins on a control port, and again on a new one where it closed under us, as it does when the VM's process has only just begun to listen; the signal ends the repetition. */
async function untilOpen(
  sockets: { data: string; control: string },
  begin: (control: ControlPort) => Promise<GuestChannel>,
  signal: AbortSignal,
): Promise<GuestChannel> {
  for (;;) {
    const control = new ControlPort(await connectWhenListening(sockets.control, signal));
    try {
      return await begin(control);
    } catch (error) {
      const guestClosed = control.isClosed && !control.flooded;
      control.close(textOf(error));
      signal.throwIfAborted();
      if (!guestClosed) throw error;
      await sleep(notReadyPauseMs, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }
}

/** Asks until the guest can run processes. */
async function greet(control: ControlPort, signal: AbortSignal): Promise<GuestHello> {
  for (;;) {
    const reply = await control.request(
      { op: 'hello', versions: [guestWireVersion] },
      { signal, repeatMs: helloRepeatMs },
    );
    if (!reply.ok) throw refused('hello', reply);
    const hello = readHello(reply);
    if (reply.ready === true) return hello;
    await sleep(notReadyPauseMs, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}
