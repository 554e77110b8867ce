{
  "targets": [
    {
      "target_name": "dm_thin",
      "includes": ["native/flags.gypi"],
      "sources": ["native/parts/parsers.cc", "native/parts/core.cc", "native/parts/glibc_compat.cc", "native/parts/addon.cc"],
      "include_dirs": ["native", "<!(node -p \"require('node-addon-api').include_dir\")"],
      "cflags!": ["-fno-exceptions"],
      "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-std=gnu++17", "-std=gnu++20"],
      "conditions": [["target_arch == 'x64'", { "cflags_cc": ["-fcf-protection"] }]]
    }
  ]
}
