import fs from 'node:fs';
import type { FloorGuest } from './guest.ts';

/** What all bare VMs of a run have in common. */
export interface FloorMachine {
  /** Directory of theirs, on the same file system as the daemon's data. */
  dir: string;
  guest: FloorGuest;
  cpus: number;
  ramMib: number;
  accelerator: 'kvm' | 'tcg';
  /** VMs that have a process or a directory; whoever ends the run disposes of what is left. */
  live: Set<AsyncDisposable>;
}

/** RAM, devices and disk of one instant: `ram`, `dev` and `disk` in a directory. */
export interface FloorSnapshot {
  dir: string;
}

/** Names of a snapshot's files; a VM's working directory calls its disk and its zeroed RAM the same. */
export const snapshotFiles = { ram: 'ram', dev: 'dev', disk: 'disk' } as const;

/**
 * Kernel command line. Under emulation the kernel measures the time-stamp counter against a timer that a busy host delays; when that fails it waits for ticks that never come, with an
 * empty console. So it is told: QEMU's emulated counter is the host's. `edd=off`: asking the BIOS for its disks can reset the machine.
 */
function kernelCommandLine(accelerator: 'kvm' | 'tcg'): string {
  const hostKhz = Math.round(
    Number(/^cpu MHz\s*:\s*([\d.]+)/m.exec(fs.readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? 0) * 1000,
  );
  return `console=ttyS0 quiet reboot=t panic=-1 edd=off${accelerator === 'tcg' && hostKhz > 0 ? ` tsc=reliable tsc_early_khz=${hostKhz}` : ''}`;
}

/** QEMU's arguments: the product's machine less what no figure uses (network, random numbers, second port, sandbox). File names are relative to the VM's directory. */
export function floorArgs(machine: FloorMachine, options: { ram: string; restore: boolean }): string[] {
  const { guest, ramMib, cpus, accelerator } = machine;
  return [
    ...['-M', 'microvm,isa-serial=on,memory-backend=ram,acpi=on,suppress-vmdesc=on'],
    ...[
      '-accel',
      accelerator === 'kvm' ? 'kvm' : 'tcg,thread=multi',
      '-cpu',
      accelerator === 'kvm' ? 'host' : 'max',
      '-smp',
      String(cpus),
    ],
    ...['-m', `${ramMib}M`, '-object', `memory-backend-file,id=ram,mem-path=${options.ram},size=${ramMib}M,share=off`],
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...(options.restore
      ? ['-incoming', 'fd:3']
      : ['-kernel', guest.kernel, '-initrd', guest.initrd, '-append', kernelCommandLine(accelerator)]),
    ...['-serial', 'file:console', '-qmp', 'unix:qmp,server=on,wait=off'],
    ...[
      '-drive',
      'id=disk,if=none,file=disk,format=raw,cache=none,discard=unmap,aio=threads',
      '-device',
      'virtio-blk-device,drive=disk',
    ],
    ...[
      '-device',
      'virtio-serial-device',
      '-chardev',
      'socket,id=agent,path=agent,server=on,wait=off',
      '-device',
      'virtserialport,chardev=agent,name=agent',
    ],
    // What xen-save-devices-state writes has no configuration section; so neither has anything else here.
    ...['-global', 'migration.send-configuration=off'],
  ];
}
