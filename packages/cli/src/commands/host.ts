import { command } from '../command.ts';
import { version } from '../version.ts';
import { bytes } from '../output/human.ts';
import { paint } from '../output/style.ts';
import { pairs } from '../output/table.ts';

export const host = command({
  name: 'host',
  summary: 'show the machine sprites run on',
  async run(context) {
    const info = await (await context.client()).host();
    await context.out.result(info, () => {
      const lines = pairs([
        ['version', info.version],
        [
          'accelerator',
          {
            text: `${info.accelerator.kind} (${info.accelerator.reason})`,
            style: info.accelerator.kind === 'kvm' ? 'good' : 'warn',
          },
        ],
        ['qemu', info.qemu_version],
        ['guest', `kernel ${info.kernel}, agent ${info.agent}`],
        ['cpus', String(info.cpus)],
        ['memory', `${bytes(info.memory_available_bytes)} of ${bytes(info.memory_total_bytes)} free`],
        [
          'pool',
          `${info.pool.path} (${info.pool.kind}), ${bytes(info.pool.free_bytes)} of ${bytes(info.pool.total_bytes)} free`,
        ],
        ['limits', info.cgroups === 'v2' ? 'enforced by cgroup v2' : 'not enforced'],
        ['network', `${info.network.kind}: ${info.network.note}`],
        [
          'images',
          info.images
            .map((image) => (image.name === info.default_image ? `${image.name} (default)` : image.name))
            .join(', '),
        ],
        ['sprites', `${info.sprites.running} running, ${info.sprites.warm} warm, ${info.sprites.cold} cold`],
      ]);
      return lines + info.notices.map((notice) => `${paint('warn', '!')} ${notice}\n`).join('');
    });
  },
});

export const showVersion = command({
  name: 'version',
  summary: 'show the version of this program',
  async run(context) {
    await context.out.result({ version, node: process.version }, () => `sylph ${version}\n`);
  },
});
