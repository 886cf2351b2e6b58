import type { MachineIdentity } from '@sylph/model';
import type { EngineDeps } from './deps.ts';

/** What VMs started now run on: the part of the driver's answer that manifests keep. */
export async function machineNow({ driver, catalog }: EngineDeps): Promise<MachineIdentity> {
  const { reason: _, ...machine } = await driver.machine(await catalog.guest());
  return machine;
}
