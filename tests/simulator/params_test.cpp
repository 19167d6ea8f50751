#include "simulator/wire/params.h"

#include <gtest/gtest.h>

#include "simulator/wire/decode.h"

namespace pvesim {
namespace {

constexpr const char* kUnknown =
    "property is not defined in schema and the schema does not allow additional properties";

ParamSpec spec(const std::string& name, const std::string& type, bool optional = true) {
  ParamSpec out;
  out.name = name;
  out.type = type;
  out.optional = optional;
  return out;
}

MethodSpec method() {
  MethodSpec out;
  ParamSpec cores = spec("cores", "integer");
  cores.minimum = 1;
  cores.maximum = 128;
  ParamSpec scsihw = spec("scsihw", "string");
  scsihw.values = {"lsi", "virtio-scsi-pci"};
  ParamSpec name = spec("name", "string");
  name.format = "dns-name";
  ParamSpec list = spec("delete", "string");
  list.format = "pve-configid-list";
  ParamSpec net = spec("net[n]", "string");
  net.family = 32;
  ParamSpec memory = spec("memory", "string");
  ParamSpec current = spec("current", "integer", false);
  current.minimum = 16;
  current.default_key = true;
  memory.property = std::make_shared<const std::vector<ParamSpec>>(std::vector<ParamSpec>{current});
  ParamSpec size = spec("size", "string");
  size.pattern = "\\+?\\d+(\\.\\d+)?[KMGT]?";
  ParamSpec comment = spec("comment", "string");
  comment.max_length = 5;
  comment.min_length = 2;
  ParamSpec force = spec("force", "boolean");
  force.requires_ = {"delete"};
  ParamSpec map = spec("map", "array");
  ParamSpec item = spec("map", "string");
  item.format = "pve-vmid";
  map.items = std::make_shared<const ParamSpec>(item);
  out.params = {spec("vmid", "integer", false),
                cores,
                scsihw,
                name,
                list,
                net,
                memory,
                size,
                comment,
                force,
                map,
                spec("onboot", "boolean"),
                spec("cpulimit", "number")};
  return out;
}

ParamErrors errors_of(const std::string& form) {
  ParamErrors errors;
  (void)check_params(method(), decode_form(form), errors);
  return errors;
}

Params values_of(const WireParams& given) {
  ParamErrors errors;
  Params out = check_params(method(), given, errors);
  EXPECT_TRUE(errors.empty()) << errors.begin()->first << ": " << errors.begin()->second;
  return out;
}

TEST(ParameterCheck, NamesWhatIsMissingAndWhatIsUnknown) {
  EXPECT_EQ(errors_of("bogus=1"),
            (ParamErrors{{"vmid", "property is missing and it is not optional"}, {"bogus", kUnknown}}));
}

TEST(ParameterCheck, RefusesWrongTypesWithTheirText) {
  EXPECT_EQ(errors_of("vmid=1&cores="), (ParamErrors{{"cores", "type check ('integer') failed - got ''"}}));
  EXPECT_EQ(errors_of("vmid=1&cores=1.5"), (ParamErrors{{"cores", "type check ('integer') failed - got '1.5'"}}));
  EXPECT_EQ(errors_of("vmid=1&onboot=true"), (ParamErrors{{"onboot", "type check ('boolean') failed - got 'true'"}}));
  EXPECT_EQ(errors_of("vmid=1&cpulimit=x"), (ParamErrors{{"cpulimit", "type check ('number') failed - got 'x'"}}));
}

TEST(ParameterCheck, ChecksRangeEnumPatternLengthAndFormat) {
  EXPECT_EQ(errors_of("vmid=1&cores=0"), (ParamErrors{{"cores", "value must have a minimum value of 1"}}));
  EXPECT_EQ(errors_of("vmid=1&cores=129"), (ParamErrors{{"cores", "value must have a maximum value of 128"}}));
  EXPECT_EQ(errors_of("vmid=1&scsihw=x"),
            (ParamErrors{{"scsihw", "value 'x' does not have a value in the enumeration 'lsi, virtio-scsi-pci'"}}));
  EXPECT_EQ(errors_of("vmid=1&size=-1G"), (ParamErrors{{"size", "value does not match the regex pattern"}}));
  EXPECT_EQ(errors_of("vmid=1&comment=abcdef"), (ParamErrors{{"comment", "value may only be 5 characters long"}}));
  EXPECT_EQ(errors_of("vmid=1&comment=a"), (ParamErrors{{"comment", "value must be at least 2 characters long"}}));
  EXPECT_EQ(errors_of("vmid=1&name=bad_name!"),
            (ParamErrors{{"name", "invalid format - value does not look like a valid DNS name\n"}}));
}

TEST(ParameterCheck, CountsCharactersNotBytes) {
  EXPECT_TRUE(errors_of("vmid=1&comment=%C3%A4%C3%B6%C3%BC%C3%9F").empty());
}

TEST(ParameterCheck, ChecksPropertyStringsKeyByKey) {
  EXPECT_EQ(
      errors_of("vmid=1&memory=lots"),
      (ParamErrors{
          {"memory", "invalid format - format error\nmemory.current: type check ('integer') failed - got 'lots'\n"}}));
  EXPECT_EQ(errors_of("vmid=1&memory=8"),
            (ParamErrors{
                {"memory", "invalid format - format error\nmemory.current: value must have a minimum value of 16\n"}}));
  EXPECT_EQ(errors_of("vmid=1&memory=current%3D64,foo%3D1"),
            (ParamErrors{{"memory", std::string("invalid format - format error\nmemory.foo: ") + kUnknown + "\n"}}));
  EXPECT_EQ(errors_of("vmid=1&memory=1,2"),
            (ParamErrors{{"memory", "invalid format - duplicate key in comma-separated list property: current\n"}}));
}

TEST(ParameterCheck, KnowsNumberedFamilies) {
  EXPECT_TRUE(errors_of("vmid=1&net0=a&net31=b").empty());
  EXPECT_EQ(errors_of("vmid=1&net32=a"), (ParamErrors{{"net32", kUnknown}}));
  EXPECT_EQ(errors_of("vmid=1&net01=a"), (ParamErrors{{"net01", kUnknown}}));
  EXPECT_EQ(errors_of("vmid=1&net=a"), (ParamErrors{{"net", kUnknown}}));
}

TEST(ParameterCheck, NamesTheParameterAnotherOneNeeds) {
  EXPECT_EQ(errors_of("vmid=1&force=1"), (ParamErrors{{"delete", "missing property required by 'force'"}}));
  EXPECT_TRUE(errors_of("vmid=1&force=1&delete=ab").empty());
}

TEST(ParameterCheck, TakesJsonBooleansAndLists) {
  const Params values =
      values_of(decode_json_body(R"({"vmid": 100, "onboot": true, "delete": ["ab", "cd"], "cpulimit": 0.5})"));
  EXPECT_EQ(values.at("vmid"), "100");
  EXPECT_EQ(values.at("onboot"), "1");
  EXPECT_EQ(values.at("delete"), "ab,cd");
  EXPECT_EQ(values.at("cpulimit"), "0.5");
  ParamErrors errors;
  (void)check_params(method(), decode_json_body(R"({"vmid": 1, "cores": true, "name": ["x"]})"), errors);
  EXPECT_EQ(errors, (ParamErrors{{"cores", "type check ('integer') failed - got JSON::PP::Boolean"},
                                 {"name", "type check ('string') failed - got ARRAY"}}));
}

TEST(ParameterCheck, MakesArraysOfSingleValues) {
  EXPECT_EQ(values_of(decode_form("vmid=1&map=100")).at("map"), "100");
  EXPECT_EQ(values_of(decode_form("vmid=1&map=100&map=101")).at("map"), std::string("100\0"
                                                                                    "101",
                                                                                    7));
  EXPECT_EQ(errors_of("vmid=1&map=100&map=7"),
            (ParamErrors{{"map[1]", "invalid format - value does not look like a valid VM ID\n"}}));
}

TEST(ParameterCheck, ChoosesTheVariantByItsType) {
  MethodSpec rule;
  rule.params = {spec("rule", "string", false)};
  rule.type_property = "type";
  rule.variants = {{"node-affinity", {spec("nodes", "string", false)}},
                   {"resource-affinity", {spec("affinity", "string")}}};
  const auto errors = [&](const std::string& form) {
    ParamErrors out;
    (void)check_params(rule, decode_form(form), out);
    return out;
  };
  EXPECT_TRUE(errors("rule=r&type=node-affinity&nodes=n1").empty());
  EXPECT_EQ(errors("rule=r&type=node-affinity"),
            (ParamErrors{{"oneOf[node-affinity].nodes", "property is missing and it is not optional"}}));
  EXPECT_EQ(errors("rule=r&type=resource-affinity&nodes=n1"), (ParamErrors{{"nodes", kUnknown}}));
  EXPECT_EQ(errors("rule=r"), (ParamErrors{{"type", "property is missing and it is not optional"}}));
}

TEST(FormDecoding, KeepsThePitfallsOfPve) {
  EXPECT_EQ(decode_form("scsi0=st:32,iothread=1").at("scsi0").text, "st:32,iothread");  // the second '=' cuts
  EXPECT_EQ(decode_form("scsi0=st:32%2Ciothread%3D1").at("scsi0").text, "st:32,iothread=1");
  EXPECT_EQ(decode_form("size=+10G").at("size").text, " 10G");
  EXPECT_EQ(decode_form("size=%2B10G").at("size").text, "+10G");
  const WireParams parts = decode_form("a=1;b=2&c");
  EXPECT_EQ(parts.at("a").text, "1");
  EXPECT_EQ(parts.at("b").text, "2");
  EXPECT_EQ(parts.at("c").text, "");
  const WireParams twice = decode_form("map=x&map=y");
  EXPECT_EQ(twice.at("map").kind, WireValue::Kind::kList);
  EXPECT_EQ(twice.at("map").items, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(decode_form("a=%zz%4").at("a").text, "%zz%4");
}

TEST(RequestParameters, QueryWinsOverBodyAndCacheBusterGoes) {
  Request request;
  request.method = "PUT";
  request.query = "cores=2&_dc=99";
  request.body = "cores=1&memory=64";
  const WireParams values = request_params(request);
  EXPECT_EQ(values.at("cores").text, "2");
  EXPECT_EQ(values.at("memory").text, "64");
  EXPECT_FALSE(values.contains("_dc"));
  request.headers = {{"content-type", "application/json"}};
  request.body = R"({"memory": 128})";
  EXPECT_EQ(request_params(request).at("memory").text, "128");
}

TEST(JsonBody, BrokenOnesNameThePlace) {
  try {
    (void)decode_json_body("{not json");
    FAIL() << "accepted";
  } catch (const ApiError& error) {
    EXPECT_EQ(error.message,
              "'\"' expected, at character offset 1 (before \"not json\") at "
              "/usr/share/perl5/PVE/APIServer/AnyEvent.pm line 934.");
  }
  EXPECT_THROW((void)decode_json_body("[1]"), ApiError);
}

}  // namespace
}  // namespace pvesim
