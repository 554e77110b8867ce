export { removePackage as default } from './package'
