// The name and version of a CSI driver. Public types are in files that do not name gRPC, which users need not have.
import { checkOptions, invalid, shown } from '../base/options.js'

/** The identity of a CSI driver. */
export interface CsiDriver {
  /** The name of the driver, such as `thin.example.com`: at most 63 letters, digits, dashes and dots. */
  readonly name: string
  /** The version of the driver, which clients print. */
  readonly version: string
}

/** Returns the driver. Throws `DM_INVALID_ARGUMENT`. */
export function checkDriver(driver: CsiDriver): CsiDriver {
  checkOptions(driver, ['name', 'version'], 'driver')
  const { name, version } = driver
  if (typeof name !== 'string' || !/^(?=.{1,63}$)[A-Za-z0-9]([-.A-Za-z0-9]*[A-Za-z0-9])?$/.test(name)) {
    throw invalid(`driver.name must be a name such as thin.example.com, but is ${shown(name)}`)
  }
  if (typeof version !== 'string' || version === '') {
    throw invalid(`driver.version must be a non-empty string, but is ${shown(version)}`)
  }
  return driver
}
