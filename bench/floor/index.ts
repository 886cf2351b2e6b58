export { buildFloorGuest, buildGo, type FloorGuest } from './guest.ts';
export type { FloorMachine, FloorSnapshot } from './machine.ts';
export { captureLive, type LiveReport } from './live.ts';
export { captureStopped, type StoppedReport } from './stopped.ts';
export { FloorVm, sleep } from './vm.ts';
