// Node's headers from this machine, as `npm run build` finds them: building must not need the network.
import { existsSync } from 'node:fs'
import path from 'node:path'

export function buildEnvironment(): Record<string, string> {
  const folders = [path.join(process.execPath, '../..'), '/usr']
  const found = folders.find(folder => existsSync(path.join(folder, 'include/node/node_api.h')))
  return found === undefined ? {} : { npm_config_nodedir: found }
}
