#pragma once

#include <napi.h>

namespace dmthin {

void export_dm(Napi::Env env, Napi::Object exports);
void export_sections(Napi::Env env, Napi::Object exports);
void export_events(Napi::Env env, Napi::Object exports);
void export_udev(Napi::Env env, Napi::Object exports);
void export_devices(Napi::Env env, Napi::Object exports);
void export_blocks(Napi::Env env, Napi::Object exports);
void export_file_systems(Napi::Env env, Napi::Object exports);

}  // namespace dmthin
