import tseslint from 'typescript-eslint'

// Node's, written out: with a list of our own there is nothing to install, and no browser's names slip in.
const NODE_GLOBALS = [
  'AbortController',
  'AbortSignal',
  'Buffer',
  'URL',
  'clearInterval',
  'clearTimeout',
  'console',
  'fetch',
  'performance',
  'process',
  'setImmediate',
  'setInterval',
  'setTimeout',
  'structuredClone',
  'TextDecoder',
  'TextEncoder',
]
const COMMONJS_GLOBALS = ['__dirname', '__filename', 'exports', 'module', 'require']
const readOnly = names => Object.fromEntries(names.map(name => [name, 'readonly']))
const UNUSED = { argsIgnorePattern: '^_', varsIgnorePattern: '^_', caughtErrors: 'none' }

/** For plain JavaScript: what is a mistake without knowing any types. */
const JAVASCRIPT_RULES = {
  'no-undef': 'error',
  'no-unused-vars': ['error', UNUSED],
  'no-const-assign': 'error',
  'no-dupe-keys': 'error',
  'no-dupe-args': 'error',
  'no-dupe-class-members': 'error',
  'no-dupe-else-if': 'error',
  'no-duplicate-case': 'error',
  'no-import-assign': 'error',
  'no-self-assign': 'error',
  'no-self-compare': 'error',
  'no-this-before-super': 'error',
  'no-unreachable': 'error',
  'no-unsafe-finally': 'error',
  'no-unsafe-negation': 'error',
  'no-unsafe-optional-chaining': 'error',
  'no-unused-private-class-members': 'error',
  'no-use-before-define': ['error', { functions: false, classes: false, variables: false }],
  'no-useless-catch': 'error',
  'no-var': 'error',
  'prefer-const': 'error',
  'constructor-super': 'error',
  'getter-return': 'error',
  'for-direction': 'error',
  'use-isnan': 'error',
  'valid-typeof': 'error',
  'no-async-promise-executor': 'error',
  'no-compare-neg-zero': 'error',
  'no-cond-assign': 'error',
  'no-debugger': 'error',
  'no-empty': 'error',
  'no-empty-pattern': 'error',
  'no-fallthrough': 'error',
  'no-prototype-builtins': 'error',
  'no-redeclare': 'error',
  'no-sparse-arrays': 'error',
  eqeqeq: 'error',
}

export default tseslint.config(
  {
    ignores: [
      '**/dist/',
      '**/dist-examples/',
      'dist-site/',
      '**/build*/',
      'prebuilds/',
      '.cache/',
      'coverage/',
      'docs/api/',
      'docs/.vitepress/.temp/',
    ],
  },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  {
    files: ['lib/**/*.{ts,mts}', 'test/**/*.ts', 'examples/**/*.mts'],
    extends: [...tseslint.configs.recommendedTypeChecked],
    languageOptions: {
      parserOptions: {
        project: ['./tsconfig.json', './test/tsconfig.json', './examples/tsconfig.json'],
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/no-unused-vars': ['error', UNUSED],
      '@typescript-eslint/require-await': 'off',
    },
  },
  {
    // Compiled, never run: they name values for their types, and hold mistakes on purpose.
    files: ['test/types/**/*.ts'],
    rules: {
      '@typescript-eslint/no-unused-expressions': 'off',
      '@typescript-eslint/no-unused-vars': 'off',
      '@typescript-eslint/restrict-plus-operands': 'off',
      '@typescript-eslint/consistent-type-imports': 'off',
    },
  },
  {
    files: ['**/*.mjs'],
    languageOptions: { ecmaVersion: 2024, sourceType: 'module', globals: readOnly(NODE_GLOBALS) },
    rules: JAVASCRIPT_RULES,
  },
  {
    // What runs in a browser.
    files: ['examples/**/page/*.js', 'docs/.vitepress/theme/*.mjs'],
    languageOptions: {
      ecmaVersion: 2024,
      sourceType: 'module',
      globals: readOnly(['document', 'EventSource', 'fetch', 'window']),
    },
    rules: JAVASCRIPT_RULES,
  },
  {
    files: ['**/*.cjs'],
    languageOptions: {
      ecmaVersion: 2024,
      sourceType: 'commonjs',
      globals: readOnly([...NODE_GLOBALS, ...COMMONJS_GLOBALS]),
    },
    rules: JAVASCRIPT_RULES,
  },
)
