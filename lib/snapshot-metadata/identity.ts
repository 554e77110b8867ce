// The identity of a CSI driver, which a sidecar asks for before it calls other services of the socket.
import type { sendUnaryData, ServerUnaryCall, UntypedServiceImplementation } from '@grpc/grpc-js'
import type { CsiDriver } from './driver.js'

const SNAPSHOT_METADATA_SERVICE = 4

/** Returns the calls of the identity service of a driver that serves snapshot metadata. */
export function identityService({ name, version }: CsiDriver): UntypedServiceImplementation {
  const reply =
    (response: object) =>
    (_: ServerUnaryCall<object, object>, send: sendUnaryData<object>): void =>
      send(null, response)
  return {
    getPluginInfo: reply({ name, vendor_version: version }),
    getPluginCapabilities: reply({ capabilities: [{ service: { type: SNAPSHOT_METADATA_SERVICE } }] }),
    probe: reply({ ready: { value: true } }),
  }
}
