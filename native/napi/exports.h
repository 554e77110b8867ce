#pragma once

#include <napi.h>

namespace dmthin {

/// Puts functions on the module's exports.
struct Exporter {
  Napi::Env env;
  Napi::Object exports;
  void operator()(const char* name, Napi::Value (*function)(const Napi::CallbackInfo&)) const {
    exports.Set(name, Napi::Function::New(env, function, name));
  }
};

void export_dm(Napi::Env env, Napi::Object exports);
void export_activate(Napi::Env env, Napi::Object exports);
void export_remove(Napi::Env env, Napi::Object exports);
void export_snapshot(Napi::Env env, Napi::Object exports);
void export_inventory(Napi::Env env, Napi::Object exports);
void export_locks(Napi::Env env, Napi::Object exports);
void export_events(Napi::Env env, Napi::Object exports);
void export_udev(Napi::Env env, Napi::Object exports);
void export_loop(Napi::Env env, Napi::Object exports);
void export_backing_files(Napi::Env env, Napi::Object exports);
void export_blocks(Napi::Env env, Napi::Object exports);
void export_digests(Napi::Env env, Napi::Object exports);
void export_file_systems(Napi::Env env, Napi::Object exports);
void export_metadata(Napi::Env env, Napi::Object exports);
void export_tree_walk(Napi::Env env, Napi::Object exports);
void export_tree_write(Napi::Env env, Napi::Object exports);

}  // namespace dmthin
