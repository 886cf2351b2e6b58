import { SylphError } from '@sylph/model';

/** Modules the guest needs before it can mount its root disk and reach the host; built-in ones are skipped. */
export const bootModules = ['virtio_mmio', 'virtio_console', 'virtio_blk', 'ext4', 'virtio_net', 'virtio_rng'] as const;

/** A module's file and the files it needs, as `modules.dep` has them: relative to the release's directory. */
interface ModuleEntry {
  path: string;
  needs: readonly string[];
}

/** Name the kernel knows a module file by: `kernel/drivers/net/virtio-x.ko.xz` is `virtio_x`. */
export function moduleName(path: string): string {
  const file = path.slice(path.lastIndexOf('/') + 1);
  return file.replace(/\.ko(\.[a-z0-9]+)?$/, '').replaceAll('-', '_');
}

/** Reads the text of `modules.dep`: `path: path path …` a line. */
function parseModulesDep(text: string): Map<string, ModuleEntry> {
  const entries = new Map<string, ModuleEntry>();
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue;
    const colon = line.indexOf(':');
    if (colon < 0) throw new SylphError('internal', `modules.dep holds a line without a colon: ${line.slice(0, 200)}`);
    const path = line.slice(0, colon);
    const needs = line.slice(colon + 1).trim();
    entries.set(moduleName(path), { path, needs: needs === '' ? [] : needs.split(/\s+/) });
  }
  return entries;
}

/**
 * Files to load so that each of `wanted` is present, every module after what it needs, none twice.
 * `dep` and `builtin` are the texts of `modules.dep` and `modules.builtin`. Throws `internal` for a module that is in neither.
 */
export function moduleLoadOrder(dep: string, builtin: string, wanted: readonly string[]): string[] {
  const entries = parseModulesDep(dep);
  const present = new Set(builtin.split('\n').filter(Boolean).map(moduleName));
  const order = new Set<string>();
  const visiting = new Set<string>();
  const visit = (name: string): void => {
    const entry = entries.get(name);
    if (!entry) {
      if (present.has(name)) return;
      throw new SylphError('internal', `the guest kernel has no module ${name}`, {
        hint: 'Choose a kernel package that has it.',
      });
    }
    if (order.has(entry.path)) return;
    if (visiting.has(name)) throw new SylphError('internal', `modules.dep has a cycle through ${name}`);
    visiting.add(name);
    for (const need of entry.needs) visit(moduleName(need));
    visiting.delete(name);
    order.add(entry.path);
  };
  for (const name of wanted) visit(name.replaceAll('-', '_'));
  return [...order];
}
