import { isIPv4 } from 'node:net';
import type { NetworkAttachment, VmSpec } from '@sylph/engine';
import { SylphError } from '@sylph/model/errors';

/**
 * What the guest's machine consists of, as a name for `MachineIdentity.machine`. Count it up whenever the arguments below change what devices there are or
 * their order: a memory snapshot only loads into the machine it was taken from.
 */
export const machineName = 'microvm/2';

/** Names below run/, relative to the working directory: an absolute one could be longer than a Unix socket's path may be (108 bytes). */
export const runFiles = {
  qmp: 'run/qmp',
  data: 'run/data',
  control: 'run/control',
  stream: 'run/stream',
  dev: 'run/dev',
  console: 'run/console',
  handle: 'run/vm.json',
} as const;

/** Bytes of console output kept, in QEMU's own memory: a guest that floods its console costs no disk. A power of two, as QEMU demands. */
export const consoleRingBytes = 64 * 1024;

/**
 * Cap of the code cache of an emulated CPU, MiB; it fills as code is met, and is emptied when full. QEMU's own default is 1 GiB a VM. Measured: a round of Python, apt and find
 * keeps 66 MiB of code and takes 4.9 s; with 64 MiB it takes 5.8 s, with 32 MiB 13 s, with 16 MiB 34 s.
 */
const tcgCacheMib = 128;

/** Level 6 lets the kernel's first line out (`Linux version`, a notice): the sign of life a boot is watched for. Level 7 would print ten times as much, through a slow emulated port. */
const kernelCommandLine = 'console=ttyS0 reboot=t panic=-1 loglevel=6';

/** Descriptors QEMU inherits, in this order: /dev/kvm, opened by us so that no account but ours needs a right to it, and the device state to start from. */
const firstFd = 3;

/** KVM through a descriptor that was passed on. */
export const kvmAccelerator = 'kvm,device=/dev/fdset/1';
export function kvmFdArgs(fd: number): string[] {
  return ['-add-fd', `fd=${fd},set=1,opaque=kvm`];
}

/**
 * QEMU's arguments for a VM. Everything that is not a constant is checked here: text from outside never becomes an option of its own.
 * `boot`: rate of the guest's time stamp counter where it must be told; it goes with a spec without memory.
 * Throws `internal` on a value that fits no grammar.
 */
export function qemuArgs(
  spec: Pick<VmSpec, 'shape' | 'network' | 'machine' | 'memory'>,
  boot: { tscKhz: number | undefined } | undefined,
): string[] {
  const { cpus, ramMib } = spec.shape;
  const kvm = spec.machine.accelerator === 'kvm';
  const incomingFd = kvm ? firstFd + 1 : firstFd;
  return [
    ...['-M', 'microvm,isa-serial=on,memory-backend=ram,acpi=on,suppress-vmdesc=on,mem-merge=off,dump-guest-core=off'],
    ...(kvm ? kvmFdArgs(firstFd) : []),
    ...['-accel', kvm ? kvmAccelerator : `tcg,thread=multi,tb-size=${tcgCacheMib}`],
    ...['-cpu', kvm ? 'host' : emulatedCpu],
    ...['-smp', integer(cpus)],
    ...['-m', `${integer(ramMib)}M`],
    // The file is opened read-only yet mapped privately writable: nothing QEMU does can reach what other VMs share.
    ...['-object', `memory-backend-file,id=ram,mem-path=ram,size=${integer(ramMib)}M,share=off,readonly=on,rom=off`],
    ...['-nodefaults', '-no-user-config', '-display', 'none'],
    // A guest that powers off or resets stays there, paused, until its end is noted and its console read.
    ...['-action', 'reboot=shutdown,shutdown=pause'],
    // Kernel and initrd are read at boot only; without them a wake reads and holds nothing of theirs.
    ...(boot === undefined ? [] : ['-kernel', 'kernel', '-initrd', 'initrd', '-append', commandLine(boot.tscKhz)]),
    ...['-chardev', `ringbuf,id=console,size=${consoleRingBytes}`, '-serial', 'chardev:console'],
    ...['-qmp', `unix:${runFiles.qmp},server=on,wait=off`],
    ...[
      '-drive',
      'id=disk,if=none,file=disk,format=raw,cache=none,discard=unmap,aio=threads',
      '-device',
      'virtio-blk-device,drive=disk',
    ],
    ...['-device', 'virtio-serial-device'],
    ...[
      '-chardev',
      `socket,id=data,path=${runFiles.data},server=on,wait=off`,
      '-device',
      'virtserialport,chardev=data,name=sylph.data',
    ],
    ...[
      '-chardev',
      `socket,id=control,path=${runFiles.control},server=on,wait=off`,
      '-device',
      'virtserialport,chardev=control,name=sylph.control',
    ],
    ...networkArgs(spec.network),
    ...['-object', 'rng-builtin,id=rng', '-device', 'virtio-rng-device,rng=rng'],
    ...['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
    // No stream of this driver has a configuration section: both kinds of capture load alike, and a VM restored from either can be captured as either.
    ...['-global', 'migration.send-configuration=off'],
    // Tells of the progress of a capture or start by events, from the first on.
    ...['-global', 'migration.x-events=on'],
    ...(spec.memory === undefined ? [] : ['-incoming', `fd:${incomingFd}`]),
  ];
}

/**
 * CPU of emulated guests. Without the fast string instructions the kernel copies in loops, which QEMU translates well; `rep movsb` it does byte by byte:
 * a pipe inside the guest went from 12 to 20 MB/s.
 */
export const emulatedCpu = 'max,erms=off,fsrm=off';

/** With the rate known, the counter is the guest's clock; else the kernel would check it against ticks that a busy host delivers late, discard it and keep time by those. */
function commandLine(tscKhz: number | undefined): string {
  return tscKhz === undefined
    ? kernelCommandLine
    : `${kernelCommandLine} tsc_early_khz=${integer(tscKhz)} tsc=reliable`;
}

/**
 * The network device is there in any case: without it a memory snapshot taken with it would not load. `guest_announce=off`: a guest that starts from memory would
 * else tell its network where it is now, though nobody there has moved, and under emulation its first answer waits for that.
 */
const networkCard = 'virtio-net-device,netdev=net0,guest_announce=off';

/** A guest has IPv6 whatever its host has: the stack says at once what it cannot reach, where silence would have programs wait. */
const userIpv6 = 'ipv4=on,ipv6=on,ipv6-prefix=fdf::,ipv6-prefixlen=64,ipv6-host=fdf::2,ipv6-dns=fdf::3';

function networkArgs(network: NetworkAttachment): string[] {
  switch (network.kind) {
    case 'none':
      return ['-netdev', 'hubport,id=net0,hubid=0', '-device', `${networkCard},mac=${mac(network.mac)}`];
    case 'user': {
      if (network.dns === network.gateway)
        throw new SylphError('internal', 'DNS address and gateway of a user-mode network must differ');
      const options = [
        `net=${subnet(network.subnet)}`,
        `host=${address(network.gateway)}`,
        `dns=${address(network.dns)}`,
        `dhcpstart=${address(network.guestAddress)}`,
      ];
      return [
        ...[
          '-netdev',
          `user,id=net0,${network.restricted ? 'ipv6=off' : userIpv6},${options.join(',')},restrict=${network.restricted ? 'on' : 'off'}`,
        ],
        ...['-device', `${networkCard},mac=${mac(network.mac)}`],
      ];
    }
    case 'tap':
      // Without offloads, as in user mode. With a stack of that mode, which nothing is plugged into: a snapshot holds the state of one where its VM had one, and only then does the other kind load it.
      return [
        ...['-netdev', 'user,id=idle,ipv6=off,restrict=on'],
        ...['-netdev', `tap,id=net0,ifname=${device(network.device)},script=no,downscript=no,vnet_hdr=off`],
        ...['-device', `${networkCard},mac=${mac(network.mac)}`],
      ];
    default:
      return network satisfies never;
  }
}

function integer(value: number): string {
  if (!Number.isSafeInteger(value) || value < 1) throw new SylphError('internal', `not a count: ${value}`);
  return String(value);
}

function address(text: string): string {
  if (!isIPv4(text)) throw new SylphError('internal', `not an IPv4 address: ${JSON.stringify(text)}`);
  return text;
}

function device(text: string): string {
  if (!/^[a-z0-9-]{1,15}$/.test(text)) throw new SylphError('internal', `not a device name: ${JSON.stringify(text)}`);
  return text;
}

function subnet(text: string): string {
  const [base = '', bits = '', ...rest] = text.split('/');
  if (rest.length > 0 || !isIPv4(base) || !/^([1-9]|[12][0-9]|3[0-2])$/.test(bits))
    throw new SylphError('internal', `not an IPv4 subnet: ${JSON.stringify(text)}`);
  return text;
}

function mac(text: string): string {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text))
    throw new SylphError('internal', `not a MAC address: ${JSON.stringify(text)}`);
  return text;
}
