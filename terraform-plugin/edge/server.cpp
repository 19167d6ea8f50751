#include "terraform-plugin/edge/server.h"

#include <goplugin.grpc.pb.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <tfplugin6.grpc.pb.h>

#include <chrono>
#include <exception>
#include <utility>

#include "terraform-plugin/cty/codec.h"

namespace pvr::tf {
namespace {

namespace wire = tfplugin6;
using grpc::ServerContext;
using Diagnostics = google::protobuf::RepeatedPtrField<wire::Diagnostic>;

// ---- values and messages to and from the wire ----

void put(const Path& path, wire::AttributePath& to) {
  for (const Step& step : path) {
    wire::AttributePath::Step& added = *to.add_steps();
    switch (step.kind) {
      case Step::Kind::kAttribute:
        added.set_attribute_name(step.name);
        break;
      case Step::Kind::kKey:
        added.set_element_key_string(step.name);
        break;
      case Step::Kind::kIndex:
        added.set_element_key_int(step.index);
        break;
    }
  }
}

void put(const Messages& messages, Diagnostics& to) {
  for (const Message& message : messages) {
    wire::Diagnostic& added = *to.Add();
    added.set_severity(message.level == Level::kError ? wire::Diagnostic::ERROR : wire::Diagnostic::WARNING);
    added.set_summary(message.summary);
    added.set_detail(message.detail);
    if (!message.path.empty()) put(message.path, *added.mutable_attribute());
  }
}

void put(const Value& value, wire::DynamicValue& to) { to.set_msgpack(encode_msgpack(value)); }

/// Thrown on a value that cannot be read; becomes a diagnostic.
struct Unreadable {
  std::string message;
};

Value take(const wire::DynamicValue& from) {
  auto value = from.msgpack().empty() ? decode_json(from.json()) : decode_msgpack(from.msgpack());
  if (!value) throw Unreadable{value.error().text()};
  return std::move(value).value();
}

Value take(const wire::RawState& from) {
  if (from.json().empty() && !from.flatmap().empty())
    throw Unreadable{"the state is of a form older than Terraform 0.12"};
  auto value = decode_json(from.json());
  if (!value) throw Unreadable{value.error().text()};
  return std::move(value).value();
}

// ---- schemas ----

void put(const Attribute& attribute, wire::Schema::Attribute& to) {
  to.set_name(attribute.name);
  to.set_description(attribute.help);
  to.set_description_kind(wire::MARKDOWN);
  to.set_required(attribute.required);
  to.set_optional(attribute.optional);
  to.set_computed(attribute.computed);
  to.set_sensitive(attribute.sensitive);
  if (!is_object(attribute.shape)) {
    to.set_type(type_json(attribute.shape));
    return;
  }
  wire::Schema::Object& nested = *to.mutable_nested_type();
  nested.set_nesting(attribute.shape == Shape::kObject    ? wire::Schema::Object::SINGLE
                     : attribute.shape == Shape::kObjects ? wire::Schema::Object::LIST
                                                          : wire::Schema::Object::MAP);
  for (const Attribute& part : attribute.nested) put(part, *nested.add_attributes());
}

wire::Schema schema_of(const Schema& schema) {
  wire::Schema out;
  out.set_version(schema.version);
  wire::Schema::Block& block = *out.mutable_block();
  block.set_version(schema.version);
  block.set_description(schema.help);
  block.set_description_kind(wire::MARKDOWN);
  for (const Attribute& attribute : schema.attributes) put(attribute, *block.add_attributes());
  return out;
}

wire::Function function_of(const Function& function) {
  wire::Function out;
  out.set_summary(function.summary);
  out.set_description(function.help);
  out.set_description_kind(wire::MARKDOWN);
  for (const Parameter& parameter : function.parameters) {
    wire::Function::Parameter& added = *out.add_parameters();
    added.set_name(parameter.name);
    added.set_type(type_json(parameter.shape));
    added.set_description(parameter.help);
    added.set_allow_null_value(parameter.may_be_null);
  }
  out.mutable_return_()->set_type(type_json(function.returns));
  return out;
}

void put_capabilities(wire::ServerCapabilities& to) {
  to.set_plan_destroy(true);
  to.set_get_provider_schema_optional(true);
  to.set_move_resource_state(true);
}

// ---- the service ----

class Service final : public wire::Provider::Service {
 public:
  Service(Provider& provider, Log& log) : provider_(provider), log_(log) {}

  grpc::Status GetMetadata(ServerContext*, const wire::GetMetadataRpc::Request*,
                           wire::GetMetadataRpc::Response* response) override {
    put_capabilities(*response->mutable_server_capabilities());
    for (const auto& [name, schema] : provider_.schema().resources) response->add_resources()->set_type_name(name);
    for (const auto& [name, schema] : provider_.schema().data_sources)
      response->add_data_sources()->set_type_name(name);
    for (const auto& [name, schema] : provider_.schema().functions) response->add_functions()->set_name(name);
    return grpc::Status::OK;
  }

  grpc::Status GetProviderSchema(ServerContext*, const wire::GetProviderSchemaRpc::Request*,
                                 wire::GetProviderSchemaRpc::Response* response) override {
    const ProviderSchema& schema = provider_.schema();
    *response->mutable_provider() = schema_of(schema.provider);
    for (const auto& [name, of] : schema.resources) (*response->mutable_resource_schemas())[name] = schema_of(of);
    for (const auto& [name, of] : schema.data_sources) (*response->mutable_data_source_schemas())[name] = schema_of(of);
    for (const auto& [name, of] : schema.functions) (*response->mutable_functions())[name] = function_of(of);
    put_capabilities(*response->mutable_server_capabilities());
    return grpc::Status::OK;
  }

  grpc::Status ValidateProviderConfig(ServerContext*, const wire::ValidateProviderConfigRpc::Request* request,
                                      wire::ValidateProviderConfigRpc::Response* response) override {
    return guarded("ValidateProviderConfig", "", *response->mutable_diagnostics(), [&] {
      put(provider_.validate_provider(shaped(request->config(), provider_.schema().provider)),
          *response->mutable_diagnostics());
    });
  }

  grpc::Status ConfigureProvider(ServerContext*, const wire::ConfigureProviderRpc::Request* request,
                                 wire::ConfigureProviderRpc::Response* response) override {
    return guarded("ConfigureProvider", request->terraform_version(), *response->mutable_diagnostics(), [&] {
      put(provider_.configure(shaped(request->config(), provider_.schema().provider)),
          *response->mutable_diagnostics());
    });
  }

  grpc::Status ValidateResourceConfig(ServerContext*, const wire::ValidateResourceConfigRpc::Request* request,
                                      wire::ValidateResourceConfigRpc::Response* response) override {
    return guarded("ValidateResourceConfig", request->type_name(), *response->mutable_diagnostics(), [&] {
      put(provider_.validate_resource(request->type_name(), resource(request->type_name(), request->config())),
          *response->mutable_diagnostics());
    });
  }

  grpc::Status ValidateDataResourceConfig(ServerContext*, const wire::ValidateDataResourceConfigRpc::Request* request,
                                          wire::ValidateDataResourceConfigRpc::Response* response) override {
    return guarded("ValidateDataResourceConfig", request->type_name(), *response->mutable_diagnostics(), [&] {
      put(provider_.validate_data(request->type_name(), data(request->type_name(), request->config())),
          *response->mutable_diagnostics());
    });
  }

  grpc::Status UpgradeResourceState(ServerContext*, const wire::UpgradeResourceStateRpc::Request* request,
                                    wire::UpgradeResourceStateRpc::Response* response) override {
    return guarded("UpgradeResourceState", request->type_name(), *response->mutable_diagnostics(), [&] {
      const Answer answer = provider_.upgrade(request->type_name(), request->version(), take(request->raw_state()));
      put(answer.value, *response->mutable_upgraded_state());
      put(answer.messages, *response->mutable_diagnostics());
    });
  }

  grpc::Status ReadResource(ServerContext*, const wire::ReadResourceRpc::Request* request,
                            wire::ReadResourceRpc::Response* response) override {
    response->set_private_(request->private_());
    *response->mutable_new_state() = request->current_state();
    return guarded("ReadResource", request->type_name(), *response->mutable_diagnostics(), [&] {
      const Answer answer =
          provider_.read(request->type_name(), resource(request->type_name(), request->current_state()));
      put(answer.value, *response->mutable_new_state());
      put(answer.messages, *response->mutable_diagnostics());
    });
  }

  grpc::Status PlanResourceChange(ServerContext*, const wire::PlanResourceChangeRpc::Request* request,
                                  wire::PlanResourceChangeRpc::Response* response) override {
    return guarded("PlanResourceChange", request->type_name(), *response->mutable_diagnostics(), [&] {
      const bool destroys = take(request->proposed_new_state()).is_null();
      const Value config = destroys ? Value() : resource(request->type_name(), request->config());
      const Planned planned =
          provider_.plan(request->type_name(), resource(request->type_name(), request->prior_state()), config);
      put(planned.state, *response->mutable_planned_state());
      response->set_planned_private(planned.note);
      put(planned.messages, *response->mutable_diagnostics());
    });
  }

  grpc::Status ApplyResourceChange(ServerContext*, const wire::ApplyResourceChangeRpc::Request* request,
                                   wire::ApplyResourceChangeRpc::Response* response) override {
    *response->mutable_new_state() = request->prior_state();
    return guarded("ApplyResourceChange", request->type_name(), *response->mutable_diagnostics(), [&] {
      const std::string& type = request->type_name();
      const Answer answer =
          provider_.apply(type, resource(type, request->prior_state()), resource(type, request->planned_state()),
                          resource(type, request->config()), request->planned_private());
      put(answer.value, *response->mutable_new_state());
      put(answer.messages, *response->mutable_diagnostics());
    });
  }

  grpc::Status ImportResourceState(ServerContext*, const wire::ImportResourceStateRpc::Request* request,
                                   wire::ImportResourceStateRpc::Response* response) override {
    return guarded("ImportResourceState", request->type_name(), *response->mutable_diagnostics(), [&] {
      const Answer answer = provider_.import(request->type_name(), request->id());
      put(answer.messages, *response->mutable_diagnostics());
      if (answer.value.is_null()) return;
      auto& imported = *response->add_imported_resources();
      imported.set_type_name(request->type_name());
      put(answer.value, *imported.mutable_state());
    });
  }

  grpc::Status MoveResourceState(ServerContext*, const wire::MoveResourceStateRpc::Request* request,
                                 wire::MoveResourceStateRpc::Response* response) override {
    return guarded("MoveResourceState", request->target_type_name(), *response->mutable_diagnostics(), [&] {
      const Answer answer = provider_.move(request->target_type_name(), request->source_provider_address(),
                                           request->source_type_name(), take(request->source_state()));
      put(answer.value, *response->mutable_target_state());
      put(answer.messages, *response->mutable_diagnostics());
    });
  }

  grpc::Status ReadDataSource(ServerContext*, const wire::ReadDataSourceRpc::Request* request,
                              wire::ReadDataSourceRpc::Response* response) override {
    return guarded("ReadDataSource", request->type_name(), *response->mutable_diagnostics(), [&] {
      const Answer answer = provider_.read_data(request->type_name(), data(request->type_name(), request->config()));
      put(answer.value, *response->mutable_state());
      put(answer.messages, *response->mutable_diagnostics());
    });
  }

  grpc::Status GetFunctions(ServerContext*, const wire::GetFunctionsRpc::Request*,
                            wire::GetFunctionsRpc::Response* response) override {
    for (const auto& [name, of] : provider_.schema().functions)
      (*response->mutable_functions())[name] = function_of(of);
    return grpc::Status::OK;
  }

  grpc::Status CallFunction(ServerContext*, const wire::CallFunctionRpc::Request* request,
                            wire::CallFunctionRpc::Response* response) override {
    Diagnostics trouble;
    const grpc::Status status = guarded("CallFunction", request->name(), trouble, [&] {
      std::vector<Value> arguments;
      for (const wire::DynamicValue& argument : request->arguments()) arguments.push_back(take(argument));
      const Provider::Called called = provider_.call(request->name(), arguments);
      put(called.result, *response->mutable_result());
      if (called.error.empty()) return;
      response->mutable_error()->set_text(called.error);
      if (called.argument >= 0) response->mutable_error()->set_function_argument(called.argument);
    });
    for (const wire::Diagnostic& diagnostic : trouble) response->mutable_error()->set_text(diagnostic.detail());
    return status;
  }

  grpc::Status StopProvider(ServerContext*, const wire::StopProviderRpc::Request*,
                            wire::StopProviderRpc::Response*) override {
    log_.write(LogLevel::kInfo, "asked to stop", {});
    provider_.stop();
    return grpc::Status::OK;
  }

 private:
  /// Whatever happens, the caller gets an answer: a broken call would lose the state.
  template <class Work>
  grpc::Status guarded(std::string_view method, const std::string& about, Diagnostics& diagnostics, const Work& work) {
    log_.write(LogLevel::kDebug, "called", {{"method", std::string(method)}, {"about", about}});
    try {
      work();
    } catch (const Unreadable& unreadable) {
      put(Messages{{.summary = "A value cannot be read", .detail = unreadable.message}}, diagnostics);
    } catch (const std::exception& fault) {
      log_.write(LogLevel::kError, "a bug", {{"method", std::string(method)}, {"what", fault.what()}});
      put(Messages{{.summary = "This is a bug in pvereconcile", .detail = std::string(method) + ": " + fault.what()}},
          diagnostics);
    }
    return grpc::Status::OK;
  }

  static Value shaped(const wire::DynamicValue& value, const Schema& schema) {
    return conformed(take(value), schema.attributes);
  }
  Value resource(const std::string& type, const wire::DynamicValue& value) const {
    const auto found = provider_.schema().resources.find(type);
    return found == provider_.schema().resources.end() ? Value() : shaped(value, found->second);
  }
  Value data(const std::string& type, const wire::DynamicValue& value) const {
    const auto found = provider_.schema().data_sources.find(type);
    return found == provider_.schema().data_sources.end() ? Value() : shaped(value, found->second);
  }

  Provider& provider_;
  Log& log_;
};

class Controller final : public plugin::GRPCController::Service {
 public:
  explicit Controller(std::function<void()> on_shutdown) : on_shutdown_(std::move(on_shutdown)) {}
  grpc::Status Shutdown(ServerContext*, const plugin::Empty*, plugin::Empty*) override {
    on_shutdown_();
    return grpc::Status::OK;
  }

 private:
  std::function<void()> on_shutdown_;
};

}  // namespace

struct Server::Parts {
  Parts(Provider& provider, Log& log, std::function<void()> on_shutdown)
      : service(provider, log), controller(std::move(on_shutdown)) {}
  Service service;
  Controller controller;
  std::unique_ptr<grpc::Server> server;
};

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Server::~Server() {
  constexpr std::chrono::milliseconds kGrace(400);
  parts_->server->Shutdown(std::chrono::system_clock::now() + kGrace);
}

std::unique_ptr<Server> Server::start(Provider& provider, Log& log, const std::string& socket,
                                      const std::string& client_pem, const Certificate& certificate,
                                      std::function<void()> on_shutdown) {
  auto parts = std::make_unique<Parts>(provider, log, std::move(on_shutdown));
  std::shared_ptr<grpc::ServerCredentials> credentials = grpc::InsecureServerCredentials();
  if (!client_pem.empty()) {
    grpc::SslServerCredentialsOptions options(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
    options.pem_root_certs = client_pem;
    options.pem_key_cert_pairs.push_back({certificate.key_pem, certificate.pem});
    credentials = grpc::SslServerCredentials(options);
  }
  grpc::EnableDefaultHealthCheckService(true);
  constexpr int kLargest = 256 << 20;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("unix:" + socket, credentials);
  builder.SetMaxReceiveMessageSize(kLargest);
  builder.SetMaxSendMessageSize(kLargest);
  builder.RegisterService(&parts->service);
  builder.RegisterService(&parts->controller);
  parts->server = builder.BuildAndStart();
  if (!parts->server) return nullptr;
  if (auto* health = parts->server->GetHealthCheckService()) health->SetServingStatus("plugin", true);
  return std::unique_ptr<Server>(new Server(std::move(parts)));
}

}  // namespace pvr::tf
