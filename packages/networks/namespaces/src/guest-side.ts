import { guestMac } from '@sylph/engine';

/** Device of a slot that the hypervisor opens: the guest's cable. */
export const tapDevice = 'spr-tap';
/** A slot's end of its veth. */
export const uplinkDevice = 'spr-up';

/** The guest, the same in every slot; see `HostNetwork`. */
export const guest = { mac: guestMac, address4: '10.0.0.1', address6: 'fdf::1' } as const;

/** What a guest has for its gateway and name server. Its hardware address is the one libslirp gives 10.0.0.2, so that a guest's neighbour table stays right when the host changes its mode. */
export const gateway = { mac: '52:55:0a:00:00:02', address4: '10.0.0.2', address6: 'fdf::2' } as const;

/** Where guests look for names whose memory is of a network in which the name server was another than the gateway; they do until they boot. */
export const formerResolver = { mac: '52:55:0a:00:00:03', address4: '10.0.0.3' } as const;
