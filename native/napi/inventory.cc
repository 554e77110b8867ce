// The inventory of a pool for JavaScript, which makes objects of it: an object that is made here costs more
// than the kernel's answer does.
#include <cstring>

#include "dm/active_thins.h"
#include "napi/exports.h"
#include "napi/start_command.h"

namespace dmthin {
namespace {

/// { pool, table, status, texts, numbers }. The texts have name, NUL, uuid, NUL, parameters, NUL of each
/// thin; the numbers its device, id, flags, open count, and the length of its table, or -1 if it has none.
Napi::Value packed(Napi::Env env, Inventory& all) {
  constexpr size_t kNumbers = 5;
  // In pieces, as in DeviceList.
  constexpr size_t kPiece = 2048;
  std::vector<std::string> texts;
  auto numbers = Napi::Float64Array::New(env, all.thins.size() * kNumbers);
  double* next = numbers.Data();
  for (const ActiveThin& thin : all.thins) {
    if (texts.empty() || texts.back().size() >= kPiece) texts.emplace_back();
    for (const std::string& each : {thin.name, thin.uuid, thin.line.parameters})
      texts.back().append(each).push_back('\0');
    *next++ = static_cast<double>(thin.device);
    *next++ = thin.id;
    *next++ = thin.flags;
    *next++ = thin.open_count;
    *next++ = thin.line.type.empty() ? -1.0 : static_cast<double>(thin.line.length);
  }
  auto object = Napi::Object::New(env);
  object.Set("pool", to_js(env, all.pool));
  object.Set("table", to_js(env, all.table));
  object.Set("status", to_js(env, all.status));
  object.Set("texts", to_js(env, texts));
  object.Set("numbers", numbers);
  return object;
}

/// (address of the pool)
Napi::Value inventory_of(Info info) {
  return start<Inventory>(
      info, Kind::kWaits,
      [control = Environment::of(info.Env()).shared_control(), pool = address(info[0])](Work& work) {
        return inventory(*control, pool, work.cancel());
      },
      packed);
}

/// (prefix of uuids, ids) → of each volume a state, its length, its mapped sectors, and the highest mapped
/// sector or -1.
Napi::Value status_many(Info info) {
  if (!info[1].IsTypedArray() || info[1].As<Napi::TypedArray>().TypedArrayType() != napi_uint32_array)
    throw Napi::TypeError::New(info.Env(), "the native part was given no Uint32Array");
  const auto array = info[1].As<Napi::Uint32Array>();
  const std::vector<uint32_t> ids(array.Data(), array.Data() + array.ElementLength());
  using Statuses = std::vector<ThinStatus>;
  return start<Statuses>(
      info, Kind::kQuick,
      [control = Environment::of(info.Env()).shared_control(), prefix = text(info[0]),
       ids](Work& work) -> Result<Statuses> { return status_of_thins(*control, prefix, ids, work.cancel()); },
      [](Napi::Env env, Statuses& statuses) -> Napi::Value {
        constexpr size_t kNumbers = 4;
        auto numbers = Napi::Float64Array::New(env, statuses.size() * kNumbers);
        double* next = numbers.Data();
        for (const ThinStatus& each : statuses) {
          *next++ = each.state;
          *next++ = static_cast<double>(each.length);
          *next++ = static_cast<double>(each.mapped);
          *next++ = each.highest ? static_cast<double>(*each.highest) : -1.0;
        }
        return numbers;
      });
}

}  // namespace

void export_inventory(Napi::Env env, Napi::Object exports) {
  const Exporter add{env, exports};
  add("inventory", inventory_of);
  add("statusMany", status_many);
}

}  // namespace dmthin
