export { buildFloorGuest, buildGo } from './guest.ts';
export type { FloorMachine, FloorSnapshot } from './machine.ts';
export { captureLive } from './live.ts';
export { captureStopped } from './stopped.ts';
export { FloorVm } from './vm.ts';
