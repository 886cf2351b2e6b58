export * from './client.ts';
export * from './defaults.ts';
export * from './faults.ts';
export * from './forwarder.ts';
export * from './policy.ts';
export { SpecialRanges } from './special-ranges.ts';
