// Mounts, unmounts, and the holders of a device.

export interface MountRequest {
  readonly source: string
  readonly target: string
  readonly type: string
  readonly flags: number
  readonly data: string
}

export interface HolderInfo {
  readonly kind: 'mount' | 'process' | 'device'
  readonly path: string
  readonly pid: number
}

export interface MountPort {
  mount(request: MountRequest, signal?: AbortSignal): Promise<void>
  unmount(target: string, flags: number, signal?: AbortSignal): Promise<void>
  holders(device: number, signal?: AbortSignal): Promise<HolderInfo[]>
  holdersOfMount(target: string, signal?: AbortSignal): Promise<HolderInfo[]>
}
