#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "providers/pve/connection_options.h"
#include "terraform-plugin/provider/log.h"
#include "terraform-plugin/provider/resource.h"
#include "terraform-plugin/provider/schema.h"
#include "terraform-plugin/provider/session.h"

namespace pvr::tf {

/// What the provider can do, without the wire. One per process and provider configuration. Safe from several threads;
/// never throws.
class Provider {
 public:
  Provider(OpenLink open, Environment environment, Log& log);

  [[nodiscard]] const ProviderSchema& schema() const { return schema_; }

  [[nodiscard]] Messages validate_provider(const Value& config) const;
  /// Values that are not known yet leave it unconfigured; only what needs the cluster then fails.
  [[nodiscard]] Messages configure(const Value& config);

  [[nodiscard]] Messages validate_resource(std::string_view type, const Value& config);
  [[nodiscard]] Answer upgrade(std::string_view type, std::int64_t version, const Value& old) const;
  [[nodiscard]] Answer read(std::string_view type, const Value& state);
  [[nodiscard]] Planned plan(std::string_view type, const Value& prior, const Value& config);
  [[nodiscard]] Answer apply(std::string_view type, const Value& prior, const Value& planned, const Value& config,
                             const std::string& note);
  [[nodiscard]] Answer import(std::string_view type, const std::string& id);
  [[nodiscard]] Answer move(std::string_view type, const std::string& source_provider, const std::string& source_type,
                            const Value& old) const;

  [[nodiscard]] Messages validate_data(std::string_view type, const Value& config) const;
  [[nodiscard]] Answer read_data(std::string_view type, const Value& config);

  /// `argument`: which one is wrong, from 0; -1: none in particular.
  struct Called {
    Value result = {};
    std::string error = {};
    int argument = -1;
  };
  [[nodiscard]] Called call(std::string_view function, const std::vector<Value>& arguments) const;

  /// Ctrl-C: nothing new is begun.
  void stop() { session_.stop(); }

 private:
  Environment environment_;
  Log& log_;
  Session session_;
  ProviderSchema schema_;
  std::map<std::string, std::unique_ptr<Resource>, std::less<>> resources_;
  std::map<std::string, std::unique_ptr<DataSource>, std::less<>> data_sources_;
};

/// The functions and what they answer. Pure.
[[nodiscard]] std::map<std::string, Function> function_schemas();
[[nodiscard]] Provider::Called call_function(std::string_view function, const std::vector<Value>& arguments);

}  // namespace pvr::tf
