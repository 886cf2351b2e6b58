export * from './client.ts';
export * from './defaults.ts';
export * from './faults.ts';
export * from './policy.ts';
