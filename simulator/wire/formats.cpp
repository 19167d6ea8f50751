#include "simulator/wire/formats.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>

#include "simulator/wire/access.h"

namespace pvesim {
namespace {

bool alpha(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; }
bool digit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }
bool alnum(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }
bool space(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }

/// Every character is alphanumeric or in `extra`, and there is at least one.
bool only(std::string_view text, std::string_view extra) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [&](char c) { return alnum(c) || extra.find(c) != extra.npos; });
}

/// A DNS label: alphanumeric ends, '-' inside.
bool label(std::string_view text) { return only(text, "-") && text.front() != '-' && text.back() != '-'; }

/// First character a letter, then letters, digits and `extra`; at least two characters.
bool identifier(std::string_view text, std::string_view extra) {
  return text.size() >= 2 && alpha(text.front()) && only(text, extra);
}

bool ipv4(std::string_view text) {
  int parts = 0;
  while (true) {
    const auto dot = text.find('.');
    const std::string_view part = text.substr(0, dot);
    if (part.empty() || part.size() > 3 || !std::all_of(part.begin(), part.end(), digit)) return false;
    if (std::stoi(std::string(part)) > 255) return false;
    ++parts;
    if (dot == text.npos) break;
    text.remove_prefix(dot + 1);
  }
  return parts == 4;
}

bool ipv6(std::string_view text) {
  if (text.size() < 2 || text.find(':') == text.npos) return false;
  int groups = 0;
  bool gap = false;
  std::size_t at = 0;
  if (text.substr(0, 2) == "::") {
    gap = true;
    at = 2;
  } else if (text.front() == ':') {
    return false;
  }
  while (at < text.size()) {
    std::size_t end = text.find(':', at);
    if (end == text.npos) end = text.size();
    const std::string_view group = text.substr(at, end - at);
    if (end == text.size() && ipv4(group)) {
      groups += 2;
      break;
    }
    if (group.empty()) {  // "::" in the middle
      if (gap) return false;
      gap = true;
    } else {
      const bool hex = std::all_of(group.begin(), group.end(),
                                   [](char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; });
      if (group.size() > 4 || !hex) return false;
      ++groups;
    }
    at = end + 1;
    if (end == text.size() - 1 && text.substr(text.size() - 2) != "::") return false;  // a single trailing colon
  }
  return gap ? groups < 8 : groups == 8;
}

bool ip(std::string_view text) { return ipv4(text) || ipv6(text); }

bool cidr(std::string_view text) {
  const auto slash = text.find('/');
  if (slash == text.npos) return false;
  const std::string_view address = text.substr(0, slash);
  const std::string_view bits = text.substr(slash + 1);
  if (bits.empty() || bits.size() > 3 || !std::all_of(bits.begin(), bits.end(), digit)) return false;
  const int value = std::stoi(std::string(bits));
  if (ipv4(address)) return value >= 7 && value <= 32;
  return ipv6(address) && value >= 7 && value <= 128;
}

bool email(std::string_view text) {
  const auto at = text.find('@');
  if (at == text.npos || at == 0) return false;
  return only(text.substr(0, at), "+._-&~") && alnum(text.front()) && is_dns_name(text.substr(at + 1));
}

bool volume_id(std::string_view text) {
  const auto colon = text.find(':');
  return colon != text.npos && colon >= 2 && colon + 1 < text.size() && identifier(text.substr(0, colon), "-_.") &&
         alnum(text[colon - 1]);
}

/// "host[:port]", "[v6]:port".
bool host_and_port(std::string_view text) {
  const auto port_fits = [](std::string_view port) {
    return !port.empty() && port.size() <= 5 && std::all_of(port.begin(), port.end(), digit);
  };
  if (ip(text) || is_dns_name(text)) return true;
  if (!text.empty() && text.front() == '[') {
    const auto end = text.find(']');
    if (end == text.npos || !ipv6(text.substr(1, end - 1))) return false;
    return end + 1 == text.size() || (text[end + 1] == ':' && port_fits(text.substr(end + 2)));
  }
  const auto colon = text.rfind(':');
  if (colon == text.npos) return false;
  const std::string_view host = text.substr(0, colon);
  return (ipv4(host) || is_dns_name(host)) && port_fits(text.substr(colon + 1));
}

bool disk_size(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size() && digit(text[at])) ++at;
  if (at == 0) return false;
  if (at < text.size() && text[at] == '.') {
    const std::size_t fraction = ++at;
    while (at < text.size() && digit(text[at])) ++at;
    if (at == fraction) return false;
  }
  const std::string_view unit = text.substr(at);
  static constexpr std::array kUnits = {"", "K", "M", "G", "T", "KiB", "MiB", "GiB", "TiB"};
  return std::find(kUnits.begin(), kUnits.end(), unit) != kUnits.end();
}

/// systemd-like calendar events as far as PVE's parser takes them: words, weekday ranges, dates and times.
bool calendar_event(std::string_view text) {
  static constexpr std::array kWords = {"minutely",  "hourly", "daily",    "weekly",        "monthly",
                                        "quarterly", "yearly", "annually", "semi-annually", "semiannually"};
  if (std::find(kWords.begin(), kWords.end(), text) != kWords.end()) return true;
  bool seen = false;
  while (!text.empty()) {
    const auto gap = text.find(' ');
    std::string part(text.substr(0, gap));
    text = gap == text.npos ? std::string_view{} : text.substr(gap + 1);
    if (part.empty()) continue;
    seen = true;
    std::transform(part.begin(), part.end(), part.begin(), [](unsigned char c) { return std::tolower(c); });
    if (alpha(part.front())) {  // weekdays: mon..fri,sun
      std::string word;
      static constexpr std::array kDays = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
      const auto known = [&] {
        return std::any_of(kDays.begin(), kDays.end(), [&](const char* day) { return word.rfind(day, 0) == 0; });
      };
      for (const char c : part + ",") {
        if (alpha(c)) {
          word += c;
        } else if (c == ',' || c == '.') {
          if (!word.empty() && !known()) return false;
          word.clear();
        } else {
          return false;
        }
      }
    } else if (!std::all_of(part.begin(), part.end(), [](char c) {
                 return digit(c) || std::string_view("*/:,.-").find(c) != std::string_view::npos;
               })) {
      return false;
    }
  }
  return seen;
}

bool startup_order(std::string_view text) {
  if (text.empty()) return false;
  std::size_t at = 0;
  while (at <= text.size()) {
    std::size_t end = text.find(',', at);
    if (end == text.npos) end = text.size();
    std::string_view part = text.substr(at, end - at);
    at = end + 1;
    if (std::all_of(part.begin(), part.end(), space)) continue;
    for (const std::string_view key : {"order=", "up=", "down="})
      if (part.substr(0, key.size()) == key) {
        part.remove_prefix(key.size());
        break;
      }
    if (part.empty() || !std::all_of(part.begin(), part.end(), digit)) return false;
  }
  return true;
}

std::string user_id_error(std::string_view text) {
  const std::string name(text);
  if (text.size() < 3) return "user name '" + name + "' is too short\n";
  if (text.size() > 64) return "user name '" + name + "' is too long (" + std::to_string(text.size()) + " > 64)\n";
  if (!is_user_id(text)) return "value '" + name + "' does not look like a valid user name\n";
  return {};
}

bool pool_id(std::string_view text) {
  int level = 0;
  std::size_t at = 0;
  while (at <= text.size()) {
    std::size_t end = text.find('/', at);
    if (end == text.npos) end = text.size();
    if (!only(text.substr(at, end - at), ".-_")) return false;
    ++level;
    at = end + 1;
  }
  return level <= 3;
}

std::string storage_id_error(std::string_view text, std::string_view what) {
  const std::string id(text);
  if (text.size() < 2) return std::string(what) + " ID '" + id + "' cannot be shorter than 2 characters\n";
  if (!identifier(text, "-_.") || !alnum(text.back()))
    return std::string(what) + " ID '" + id + "' contains illegal characters\n";
  return {};
}

bool content_type(std::string_view text) {
  static constexpr std::array kTypes = {"images", "rootdir", "vztmpl", "iso", "backup", "snippets", "none", "import"};
  return std::find(kTypes.begin(), kTypes.end(), text) != kTypes.end();
}

/// 512 … 16M and a power of two; digits with an optional k or m.
bool zfs_blocksize(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size() && digit(text[at])) ++at;
  if (at == 0 || at > 9) return false;
  std::int64_t value = std::stoll(std::string(text.substr(0, at)));
  if (const std::string_view unit = text.substr(at); unit == "k" || unit == "K")
    value <<= 10;
  else if (unit == "m" || unit == "M")
    value <<= 20;
  else if (!unit.empty())
    return false;
  return value >= 512 && value <= (16 << 20) && (value & (value - 1)) == 0;
}

std::string pair_error(std::string_view text, std::string_view format) {
  const std::string entry(text);
  if (text == "1") return {};
  const auto colon = text.find(':');
  const auto one = [&](std::string_view id) -> std::string {
    if (std::string error = check_format(format, id); !error.empty())
      return "entry '" + entry + "' contains invalid ID - " + error + "\n\n";
    return {};
  };
  if (colon == text.npos) return one(text);
  std::string error = one(text.substr(0, colon));
  return error.empty() ? one(text.substr(colon + 1)) : error;
}

bool mac_address(std::string_view text) {
  if (text.size() != 17) return false;
  for (std::size_t i = 0; i < text.size(); ++i)
    if (i % 3 == 2 ? text[i] != ':' : std::isxdigit(static_cast<unsigned char>(text[i])) == 0) return false;
  return (std::stoi(std::string(1, text[1]), nullptr, 16) & 1) == 0;  // the lowest bit marks multicast addresses
}

/// "scsi12" with scsi up to 30: the bus's numbers end somewhere.
bool numbered(std::string_view text, std::string_view stem, int most) {
  if (text.size() <= stem.size() || text.substr(0, stem.size()) != stem) return false;
  const std::string_view number = text.substr(stem.size());
  return number.size() <= 3 && std::all_of(number.begin(), number.end(), digit) &&
         (number.size() == 1 || number.front() != '0') && std::stoi(std::string(number)) <= most;
}

bool boot_disk(std::string_view text) {
  return numbered(text, "ide", 3) || numbered(text, "scsi", 30) || numbered(text, "virtio", 15) ||
         numbered(text, "sata", 5) || text == "efidisk0" || text == "tpmstate0";
}

bool boot_device(std::string_view text) {
  if (text == "efidisk0" || text == "tpmstate0") return false;
  return boot_disk(text) || numbered(text, "net", 31) || numbered(text, "usb", 13) || numbered(text, "hostpci", 15);
}

/// A set of CPU numbers: "0-3,8".
bool cpu_set(std::string_view text) {
  if (text.empty()) return false;
  while (!text.empty()) {
    const auto comma = text.find(',');
    const std::string_view part = text.substr(0, comma);
    text = comma == text.npos ? std::string_view{} : text.substr(comma + 1);
    const auto dash = part.find('-');
    const auto number = [](std::string_view one) {
      return !one.empty() && one.size() <= 5 && std::all_of(one.begin(), one.end(), digit);
    };
    if (!number(part.substr(0, dash))) return false;
    if (dash != part.npos && !number(part.substr(dash + 1))) return false;
  }
  return true;
}

std::string boot_error(std::string_view text) {
  while (!text.empty()) {
    const auto comma = text.find(',');
    const std::string_view part = text.substr(0, comma);
    text = comma == text.npos ? std::string_view{} : text.substr(comma + 1);
    const auto equals = part.find('=');
    const std::string key(equals == part.npos ? "legacy" : part.substr(0, equals));
    const std::string_view value = equals == part.npos ? part : part.substr(equals + 1);
    if (key == "legacy") {
      const bool fits = !value.empty() && value.size() <= 4 && value.find_first_not_of("acdn") == value.npos;
      if (!fits) return "format error\nboot.legacy: value does not match the regex pattern\n";
    } else if (key == "order") {
      for (const std::string& device : split_list(value))
        if (!boot_device(device))
          return "format error\nboot.order: invalid format - invalid boot device '" + device + "'\n\n";
    } else {
      return "format error\nboot." + key +
             ": property is not defined in schema and the schema does not allow additional properties\n";
    }
  }
  return {};
}

/// How many backups to keep: "keep-last=3,keep-daily=7" or "keep-all=1".
std::string prune_error(std::string_view text) {
  static constexpr std::array kKeys = {"keep-last",   "keep-hourly",  "keep-daily",
                                       "keep-weekly", "keep-monthly", "keep-yearly"};
  bool all = false;
  bool others = false;
  while (!text.empty()) {
    const auto comma = text.find(',');
    const std::string_view part = text.substr(0, comma);
    text = comma == text.npos ? std::string_view{} : text.substr(comma + 1);
    const auto equals = part.find('=');
    if (equals == part.npos) return "value without key, but schema does not define a default key\n";
    const std::string key(part.substr(0, equals));
    const std::string value(part.substr(equals + 1));
    const std::string place = "format error\nprune-backups." + key + ": ";
    if (key == "keep-all") {
      if (!parse_loose_boolean(value)) return place + "type check ('boolean') failed - got '" + value + "'\n";
      all = *parse_loose_boolean(value);
    } else if (std::find(kKeys.begin(), kKeys.end(), key) != kKeys.end()) {
      if (!is_integer_text(value)) return place + "type check ('integer') failed - got '" + value + "'\n";
      others = others || std::stoll(value) > 0;
    } else {
      return place + "property is not defined in schema and the schema does not allow additional properties\n";
    }
  }
  return all && others ? "keep-all cannot be set together with other options.\n" : std::string{};
}

std::string hotplug_error(std::string_view text) {
  if (text == "0" || text == "1") return {};
  static constexpr std::array kFeatures = {"network", "disk", "cpu", "memory", "usb", "cloudinit"};
  for (const std::string& feature : split_list(text))
    if (std::find(kFeatures.begin(), kFeatures.end(), feature) == kFeatures.end())
      return "invalid hotplug feature '" + feature + "'\n";
  return {};
}

using Check = std::function<std::string(std::string_view)>;

/// A check that has one fixed text.
Check fits(bool (*rule)(std::string_view), std::string text) {
  return [rule, text = std::move(text)](std::string_view value) { return rule(value) ? std::string{} : text; };
}
/// A check whose text names the value: `before`'value'`after`.
Check quotes(bool (*rule)(std::string_view), std::string before, std::string after) {
  return [rule, before = std::move(before), after = std::move(after)](std::string_view value) {
    return rule(value) ? std::string{} : before + "'" + std::string(value) + "'" + after;
  };
}

// Facts: the texts are those of the format checks of PVE's JSON schema, access control, storage and HA packages.
const std::map<std::string, Check, std::less<>>& table() {
  static const std::map<std::string, Check, std::less<>> kTable = {
      {"string", [](std::string_view) { return std::string{}; }},
      {"urlencoded",
       [](std::string_view v) {
         return v.empty() || only(v, "-%_.!~*'()") ? std::string{}
                                                   : "invalid urlencoded string: " + std::string(v) + "\n";
       }},
      {"pve-vmid", fits(
                       [](std::string_view v) {
                         return v.size() >= 3 && v.size() <= 9 && v.front() != '0' &&
                                std::all_of(v.begin(), v.end(), digit);
                       },
                       "value does not look like a valid VM ID\n")},
      {"pve-node", fits(is_node_name, "value does not look like a valid node name\n")},
      {"pve-storage-id", [](std::string_view v) { return storage_id_error(v, "storage"); }},
      {"pve-configid", quotes(is_config_id, "invalid configuration ID ", "\n")},
      {"pve-bridge-id", quotes([](std::string_view v) { return only(v, "-_."); }, "invalid bridge ID ", "\n")},
      {"storage-pair", [](std::string_view v) { return pair_error(v, "pve-storage-id"); }},
      {"bridge-pair", [](std::string_view v) { return pair_error(v, "pve-bridge-id"); }},
      {"dns-name", fits(is_dns_name, "value does not look like a valid DNS name\n")},
      {"email", fits(email, "value does not look like a valid email address\n")},
      {"email-or-username", fits([](std::string_view v) { return email(v) || (only(v, "+._-&~") && alnum(v.front())); },
                                 "value does not look like a valid email address or user name\n")},
      {"ip", fits(ip, "value does not look like a valid IP address\n")},
      {"CIDR", fits(cidr, "value does not look like a valid CIDR network\n")},
      {"address",
       [](std::string_view v) {
         return ip(v) || is_dns_name(v) ? std::string{}
                                        : "value does not look like a valid address: " + std::string(v) + "\n";
       }},
      {"disk-size",
       [](std::string_view v) {
         return disk_size(v) ? std::string{} : "value does not look like a valid disk size: " + std::string(v) + "\n";
       }},
      {"mac-prefix", fits(
                         [](std::string_view v) {
                           if (v.size() < 8 || v.size() > 17 || v.size() % 3 != 2) return false;
                           for (std::size_t i = 0; i < v.size(); ++i)
                             if (i % 3 == 2 ? v[i] != ':' : std::isxdigit(static_cast<unsigned char>(v[i])) == 0)
                               return false;
                           // the lowest bit of the first byte marks multicast addresses
                           const int low = std::stoi(std::string(1, v[1]), nullptr, 16);
                           return (low & 1) == 0;
                         },
                         "value is not a valid unicast MAC address prefix\n")},
      {"pve-startup-order", fits(startup_order, "unable to parse startup options\n")},
      {"pve-tag", fits([](std::string_view v) { return only(v, "_-+.") && (alnum(v.front()) || v.front() == '_'); },
                       "invalid characters in tag\n")},
      {"pve-task-status-type", quotes(
                                   [](std::string_view v) {
                                     std::string low(v);
                                     std::transform(low.begin(), low.end(), low.begin(),
                                                    [](unsigned char c) { return std::tolower(c); });
                                     return low == "ok" || low == "error" || low == "warning" || low == "unknown";
                                   },
                                   "invalid status ", "\n")},
      {"pve-calendar-event",
       [](std::string_view v) {
         return calendar_event(v) ? std::string{} : "invalid calendar event '" + std::string(v) + "'\n";
       }},
      {"pve-day-of-week", quotes(
                              [](std::string_view v) {
                                static constexpr std::array kDays = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
                                return std::find(kDays.begin(), kDays.end(), v) != kDays.end();
                              },
                              "invalid day ", "\n")},
      {"pve-iface", quotes([](std::string_view v) { return v.size() <= 21 && identifier(v, "_:."); },
                           "invalid network interface name ", "\n")},
      {"ipv4", fits(ipv4, "value does not look like a valid IPv4 address\n")},
      {"ipv6", fits(ipv6, "value does not look like a valid IPv6 address\n")},
      {"pve-ipv4-config", fits(
                              [](std::string_view v) {
                                return v == "dhcp" || v == "manual" || (cidr(v) && ipv4(v.substr(0, v.find('/'))));
                              },
                              "value does not look like a valid ipv4 network configuration\n")},
      {"pve-ipv6-config", fits(
                              [](std::string_view v) {
                                return v == "auto" || v == "dhcp" || v == "manual" ||
                                       (cidr(v) && ipv6(v.substr(0, v.find('/'))));
                              },
                              "value does not look like a valid ipv6 network configuration\n")},
      {"mac-addr", fits(mac_address, "value does not look like a valid unicast MAC address\n")},
      // guests
      {"pve-qm-bootdisk", quotes(boot_disk, "invalid boot disk ", "\n")},
      {"pve-qm-bootdev", quotes(boot_device, "invalid boot device ", "\n")},
      {"pve-qm-boot", boot_error},
      {"pve-cpuset", fits(cpu_set, "unable to parse cpuset option\n")},
      {"pve-hotplug-features", hotplug_error},
      {"pve-phys-bits", fits(
                            [](std::string_view v) {
                              if (v == "host") return true;
                              if (v.empty() || v.size() > 2 || !std::all_of(v.begin(), v.end(), digit)) return false;
                              const int bits = std::stoi(std::string(v));
                              return bits >= 8 && bits <= 64;
                            },
                            "value must be an integer between 8 and 64 or 'host'\n")},
      {"pve-volume-id-or-absolute-path",
       [](std::string_view v) {
         return !v.empty() && v.front() == '/' ? std::string{} : check_format("pve-volume-id", v);
       }},
      {"pve-volume-id-or-qm-path",
       [](std::string_view v) {
         return v == "none" || v == "cdrom" ? std::string{} : check_format("pve-volume-id-or-absolute-path", v);
       }},
      // access control
      {"pve-userid", user_id_error},
      {"pve-realm",
       fits([](std::string_view v) { return identifier(v, ".-_"); }, "value does not look like a valid realm\n")},
      {"pve-groupid",
       quotes([](std::string_view v) { return only(v, ".-_"); }, "group name ", " contains invalid characters\n")},
      {"pve-roleid",
       quotes([](std::string_view v) { return only(v, ".-_"); }, "role name ", " contains invalid characters\n")},
      {"pve-poolid", quotes(pool_id, "pool name ", " contains invalid characters\n")},
      {"pve-priv", quotes(is_privilege, "invalid privilege ", "\n")},
      {"pve-tokenid", quotes(
                          [](std::string_view v) {
                            const auto mark = v.rfind('!');
                            return mark != v.npos && is_user_id(v.substr(0, mark)) &&
                                   identifier(v.substr(mark + 1), ".-_");
                          },
                          "value ", " does not look like a valid token ID\n")},
      // HA and replication
      {"pve-ha-resource-id", fits(
                                 [](std::string_view v) {
                                   const auto colon = v.find(':');
                                   return colon != v.npos && colon > 0 && colon + 1 < v.size() &&
                                          std::all_of(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(colon),
                                                      [](char c) { return c >= 'a' && c <= 'z'; }) &&
                                          std::none_of(v.begin(), v.end(), space);
                                 },
                                 "value does not look like a valid ha resource id\n")},
      {"pve-ha-resource-or-vm-id",
       [](std::string_view v) {
         if (!v.empty() && std::all_of(v.begin(), v.end(), digit)) return std::string{};
         return check_format("pve-ha-resource-id", v);
       }},
      {"pve-ha-node", fits(
                          [](std::string_view v) {
                            const auto colon = v.find(':');
                            if (colon == v.npos) return label(v);
                            const std::string_view priority = v.substr(colon + 1);
                            return label(v.substr(0, colon)) && !priority.empty() &&
                                   std::all_of(priority.begin(), priority.end(), digit);
                          },
                          "value does not look like a valid ha node\n")},
      {"pve-replication-job-id",
       [](std::string_view v) {
         const auto dash = v.find('-');
         const bool good = dash != v.npos && dash + 1 < v.size() &&
                           check_format("pve-vmid", v.substr(0, dash)).empty() &&
                           std::all_of(v.begin() + static_cast<std::ptrdiff_t>(dash) + 1, v.end(), digit);
         return good ? std::string{} : "invalid replication job id '" + std::string(v) + "'\n";
       }},
      // storage
      {"pve-storage-path", fits(
                               [](std::string_view v) {
                                 return v.size() >= 2 && v.front() == '/' &&
                                        std::string_view(";()").find(v[1]) == v.npos;
                               },
                               "value does not look like a valid absolute path\n")},
      {"pve-storage-server", fits([](std::string_view v) { return ip(v) || is_dns_name(v); },
                                  "value does not look like a valid server name or IP address\n")},
      {"pve-storage-vgname",
       quotes([](std::string_view v) { return v.size() >= 2 && only(v, "-_.") && alnum(v.front()) && alnum(v.back()); },
              "lvm name ", " contains illegal characters\n")},
      {"pve-storage-portal-dns", fits(host_and_port, "value does not look like a valid portal address\n")},
      {"pve-storage-content", quotes(content_type, "invalid content type ", "\n")},
      {"pve-storage-format",
       quotes([](std::string_view v) { return v == "raw" || v == "qcow2" || v == "vmdk" || v == "subvol"; },
              "invalid format ", "\n")},
      {"pve-storage-options",
       quotes([](std::string_view v) { return !v.empty() && std::none_of(v.begin(), v.end(), space); },
              "invalid options ", "\n")},
      {"pve-storage-zfs-blocksize",
       quotes(zfs_blocksize, "value ",
              " is not a valid ZFS blocksize. Must be a power of 2 between 512B and 16MiB (e.g., 4k, 8k, 16k, 64k, "
              "1m).\n")},
      {"pve-volume-id", quotes(volume_id, "unable to parse volume ID ", "\n")},
      {"prune-backups", prune_error},
      {"pve-dir-override", quotes(
                               [](std::string_view v) {
                                 const auto equals = v.find('=');
                                 return equals != v.npos && content_type(v.substr(0, equals)) &&
                                        equals + 1 < v.size() && v.size() - equals < 1024 &&
                                        v.substr(equals + 1).find("..") == v.npos;
                               },
                               "invalid override ", "\n")},
  };
  return kTable;
}

/// "x-list" / "x-opt" -> x and the ending.
std::pair<std::string_view, std::string_view> base_format(std::string_view name) {
  for (const std::string_view ending : {"-list", "-opt"})
    if (name.size() > ending.size() && name.substr(name.size() - ending.size()) == ending)
      return {name.substr(0, name.size() - ending.size()), ending};
  return {name, {}};
}

}  // namespace

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> items;
  std::string item;
  for (const char c : text) {
    if (c == ',' || c == ';' || c == '\0' || space(c)) {
      if (!item.empty()) items.push_back(std::move(item));
      item.clear();
    } else {
      item += c;
    }
  }
  if (!item.empty()) items.push_back(std::move(item));
  return items;
}

bool is_known_format(std::string_view name) { return table().contains(base_format(name).first); }

std::string check_format(std::string_view name, std::string_view value) {
  const auto [base, ending] = base_format(name);
  const auto found = table().find(base);
  if (found == table().end()) return {};
  if (ending == "-list") {
    for (const std::string& item : split_list(value))
      if (std::string error = found->second(item); !error.empty()) return error;
    return {};
  }
  if (ending == "-opt" && value.empty()) return {};
  return found->second(value);
}

bool is_integer_text(std::string_view text) {
  if (!text.empty() && (text.front() == '+' || text.front() == '-')) text.remove_prefix(1);
  return !text.empty() && std::all_of(text.begin(), text.end(), digit);
}

bool is_number_text(std::string_view text) {
  if (!text.empty() && (text.front() == '+' || text.front() == '-')) text.remove_prefix(1);
  std::size_t at = 0;
  std::size_t digits = 0;
  while (at < text.size() && digit(text[at])) ++at, ++digits;
  if (at < text.size() && text[at] == '.') {
    ++at;
    while (at < text.size() && digit(text[at])) ++at, ++digits;
  }
  if (digits == 0) return false;
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) return is_integer_text(text.substr(at + 1));
  return at == text.size();
}

std::optional<bool> parse_loose_boolean(std::string_view text) {
  std::string low(text);
  std::transform(low.begin(), low.end(), low.begin(), [](unsigned char c) { return std::tolower(c); });
  if (low == "1" || low == "on" || low == "yes" || low == "true") return true;
  if (low == "0" || low == "off" || low == "no" || low == "false") return false;
  return std::nullopt;
}

bool is_dns_name(std::string_view text) {
  if (text.empty()) return false;
  std::size_t at = 0;
  while (at <= text.size()) {
    std::size_t end = text.find('.', at);
    if (end == text.npos) end = text.size();
    if (!label(text.substr(at, end - at))) return false;
    at = end + 1;
  }
  return true;
}

bool is_node_name(std::string_view text) { return label(text); }

bool is_config_id(std::string_view text) { return identifier(text, "-_"); }

bool is_user_id(std::string_view text) {
  const auto at = text.rfind('@');
  if (at == text.npos || at == 0 || text.size() > 64) return false;
  const std::string_view name = text.substr(0, at);
  return std::none_of(name.begin(), name.end(), [](char c) { return space(c) || c == ':' || c == '/'; }) &&
         identifier(text.substr(at + 1), ".-_");
}

}  // namespace pvesim
