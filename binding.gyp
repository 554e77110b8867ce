{
  "targets": [
    {
      "target_name": "dm_thin",
      "sources": ["native/parts/parsers.cc", "native/parts/core.cc", "native/parts/glibc_compat.cc", "native/parts/addon.cc"],
      "include_dirs": ["native", "<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": [
        "NAPI_VERSION=8",
        "NAPI_CPP_EXCEPTIONS",
        "NODE_ADDON_API_DISABLE_DEPRECATED",
        "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"
      ],
      "cflags!": ["-fno-exceptions"],
      "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-std=gnu++17", "-std=gnu++20"],
      "cflags_cc": [
        "-std=c++20",
        "-fvisibility=hidden",
        "-Wall",
        "-Wextra",
        "-fstack-protector-strong",
        "-U_FORTIFY_SOURCE",
        "-D_FORTIFY_SOURCE=2"
      ],
      "ldflags": ["-Wl,-z,nodelete", "-Wl,--gc-sections", "-Wl,-z,relro", "-Wl,-z,now"],
      "conditions": [["target_arch == 'x64'", { "cflags_cc": ["-fcf-protection"] }]]
    }
  ]
}
