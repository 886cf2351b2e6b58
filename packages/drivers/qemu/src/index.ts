export { QemuDriver, type QemuDriverOptions } from './driver.ts';
export type { AcceleratorChoice } from './probe.ts';
