import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { MachineIdentity } from '@sylph/model';
import { SylphError } from '@sylph/model';
import * as z from 'zod';
import { emulatedCpu, kvmAccelerator, kvmFdArgs } from './args.ts';
import { runProgram, supervise, terminate } from './supervise.ts';

/** A kernel under KVM prints within a second, also on a loaded machine with nested virtualization. */
const bootDeadlineMs = 10_000;
const pollMs = 20;
/** Answers remembered; older ones are dropped. */
const maxAnswers = 64;
/** An account that owns nothing. */
const nobodyUid = 65534;
/** Device of the kernel's hypervisor (Linux, Documentation/virt/kvm/api.rst). */
export const kvmDevice = '/dev/kvm';

/** `auto` asks the probe; the others force. */
export type AcceleratorChoice = 'auto' | 'kvm' | 'tcg';

/** What VMs are to run on, and why. */
export interface AcceleratorAnswer {
  accelerator: MachineIdentity['accelerator'];
  qemuVersion: string;
  /** One sentence for a person. */
  reason: string;
}

const memory = z.strictObject({
  version: z.literal(1),
  answers: z.record(z.string(), z.strictObject({ works: z.boolean(), reason: z.string() })),
});

/**
 * Finds out whether KVM runs the given kernel. A device that exists, and even opens, proves nothing: the kernel is booted with it.
 * The answer holds for (kernel, QEMU version, host boot) and is remembered in the state directory.
 */
export class AcceleratorProbe {
  readonly #options: { qemu: string; stateDir: string; choice: AcceleratorChoice };
  readonly #answers = new Map<string, Promise<AcceleratorAnswer>>();

  constructor(options: { qemu: string; stateDir: string; choice: AcceleratorChoice }) {
    this.#options = options;
  }

  /** Probes at most once per kernel; later calls answer from memory. Throws `host_unfit` without a QEMU of version 9 or later. */
  async answer(guest: { kernel: string; initrd: string }): Promise<AcceleratorAnswer> {
    const { dev, ino, mtimeMs, size } = fs.statSync(guest.kernel);
    const kernelKey = `${dev}:${ino}:${mtimeMs}:${size}`;
    let answer = this.#answers.get(kernelKey);
    if (answer === undefined) {
      answer = this.#find(guest, kernelKey);
      this.#answers.set(kernelKey, answer);
      // A failure may pass: the next call asks again.
      answer.catch(() => this.#answers.delete(kernelKey));
    }
    return await answer;
  }

  async #find(guest: { kernel: string; initrd: string }, kernelKey: string): Promise<AcceleratorAnswer> {
    const qemuVersion = await readVersion(this.#options.qemu);
    const { choice } = this.#options;
    if (choice === 'tcg') return { accelerator: 'tcg', qemuVersion, reason: 'emulation, as configured' };
    if (choice === 'kvm') return { accelerator: 'kvm', qemuVersion, reason: 'KVM, as configured' };
    const unusable = deviceProblem();
    if (unusable !== undefined) return { accelerator: 'tcg', qemuVersion, reason: `emulation: ${unusable}` };
    const key = createHash('sha256')
      .update([kernelKey, qemuVersion, fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8')].join('\n'))
      .digest('hex');
    const remembered = this.#recall()[key];
    const result = remembered ?? (await bootWithKvm(this.#options.qemu, guest));
    if (remembered === undefined) this.#remember(key, result);
    return { accelerator: result.works ? 'kvm' : 'tcg', qemuVersion, reason: result.reason };
  }

  get #file(): string {
    return path.join(this.#options.stateDir, 'accelerator.json');
  }

  #recall(): z.output<typeof memory>['answers'] {
    try {
      return memory.parse(JSON.parse(fs.readFileSync(this.#file, 'utf8'))).answers;
    } catch {
      // Missing or unreadable: probing again costs seconds and answers the same.
      return {};
    }
  }

  #remember(key: string, result: { works: boolean; reason: string }): void {
    const answers = Object.fromEntries([...Object.entries(this.#recall()), [key, result] as const].slice(-maxAnswers));
    fs.mkdirSync(this.#options.stateDir, { recursive: true });
    fs.writeFileSync(`${this.#file}.new`, JSON.stringify({ version: 1, answers }));
    fs.renameSync(`${this.#file}.new`, this.#file);
  }
}

/** What of the CPU a memory snapshot depends on. Emulation offers the same CPU everywhere; KVM shows the host's. */
export function cpuModel(accelerator: MachineIdentity['accelerator']): string {
  if (accelerator === 'tcg') return emulatedCpu;
  const first = fs.readFileSync('/proc/cpuinfo', 'utf8').split('\n\n')[0] ?? '';
  const facts = first
    .split('\n')
    .filter((line) => /^(vendor_id|cpu family|model|model name|stepping|microcode|flags)\s*:/.test(line));
  return `host/${createHash('sha256').update(facts.join('\n')).digest('hex').slice(0, 16)}`;
}

async function readVersion(qemu: string): Promise<string> {
  const text = await runProgram(qemu, ['--version'], { deadlineMs: 10_000 });
  const version = /version (\d+)\.(\d+)\.(\d+)/.exec(text);
  if (version === null) throw new SylphError('host_unfit', `${qemu} does not tell its version`);
  if (Number(version[1]) < 9) {
    // Before 9.0 a live capture under emulation loses writes of the guest.
    throw new SylphError('host_unfit', `QEMU ${version[0].slice(8)} is too old`, {
      hint: 'Install QEMU 9 or later (Debian 12: from bookworm-backports).',
    });
  }
  return version[0].slice('version '.length);
}

function deviceProblem(): string | undefined {
  try {
    fs.accessSync(kvmDevice, fs.constants.R_OK | fs.constants.W_OK);
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? `no ${kvmDevice}` : `${kvmDevice} cannot be opened`;
  }
}

/** Boots without disk or agent: a kernel that starts its first program, or complains that it finds none, has shown that the CPU runs it. */
async function bootWithKvm(
  qemu: string,
  guest: { kernel: string; initrd: string },
): Promise<{ works: boolean; reason: string }> {
  const kernel = fs.openSync(guest.kernel, 'r');
  const initrd = fs.openSync(guest.initrd, 'r');
  const kvm = fs.openSync(kvmDevice, 'r+');
  try {
    const args = [
      ...[
        '-M',
        'microvm,isa-serial=on,acpi=on',
        ...kvmFdArgs(5),
        '-accel',
        kvmAccelerator,
        '-cpu',
        'host',
        '-smp',
        '2',
        '-m',
        '512M',
      ],
      ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-serial', 'stdio'],
      ...[
        '-kernel',
        '/proc/self/fd/3',
        '-initrd',
        '/proc/self/fd/4',
        '-append',
        'console=ttyS0 reboot=t panic=-1 loglevel=7',
      ],
      ...['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
    ];
    const program = await supervise(qemu, args, {
      cwd: os.tmpdir(),
      uid: nobodyUid,
      gid: nobodyUid,
      stdout: 'pipe',
      extraFds: [kernel, initrd, kvm],
    });
    let output = '';
    program.child.stdout?.on('data', (chunk: Buffer) => {
      output = (output + chunk.toString('latin1')).slice(-64 * 1024);
    });
    let ended = false;
    void program.exited.then(() => {
      ended = true;
    });
    const began = performance.now();
    while (!ended && !reachedUserSpace(output) && performance.now() - began < bootDeadlineMs) await sleep(pollMs);
    const tookMs = Math.round(performance.now() - began);
    if (!ended) await terminate(program);
    if (reachedUserSpace(output)) return { works: true, reason: `KVM booted the guest's kernel in ${tookMs} ms` };
    const why = ended
      ? `QEMU ended: ${program.stderrTail()}`
      : output === ''
        ? `no output in ${bootDeadlineMs} ms`
        : `not through in ${bootDeadlineMs} ms`;
    return { works: false, reason: `emulation: ${kvmDevice} exists, but does not run the guest's kernel (${why})` };
  } finally {
    fs.closeSync(kernel);
    fs.closeSync(initrd);
    fs.closeSync(kvm);
  }
}

function reachedUserSpace(output: string): boolean {
  return /Run \S+ as init process|VFS: Unable to mount root/.test(output);
}
