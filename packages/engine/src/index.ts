export * from './interfaces/guest-channel.ts';
export * from './interfaces/host-network.ts';
export * from './interfaces/pool-store.ts';
export * from './interfaces/repository.ts';
export * from './interfaces/session-keeper.ts';
export * from './interfaces/vm-driver.ts';
export * from './service.ts';
