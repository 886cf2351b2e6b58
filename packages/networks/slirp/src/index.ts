export { guestNet, SlirpNetwork } from './network.ts';
