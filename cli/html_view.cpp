#include "cli/html_view.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/audit_view.h"
#include "cli/describe.h"
#include "cli/layout.h"

namespace pvr::cli {
namespace {

constexpr std::string_view kStyle = R"css(
:root { color-scheme: light dark; --back: #f6f7f9; --card: #ffffff; --ink: #1c2430; --soft: #5b6675; --line: #dde2e9;
  --error: #b3261e; --warning: #8a5a00; --notice: #1d5fa8; --good: #1b6e3c; --code: #eef1f5; }
@media screen and (prefers-color-scheme: dark) { :root { --back: #12161c; --card: #1b212a; --ink: #e6eaf0; --soft: #9aa6b5;
  --line: #2e3743; --error: #ff8a80; --warning: #f5c067; --notice: #8ec2ff; --good: #7fd6a0; --code: #232b36; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; }
h2 { font-size: 1.05rem; margin: 0; font-weight: 600; overflow-wrap: anywhere; }
.soft { color: var(--soft); }
.counts { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1rem 0 1.5rem; padding: 0; list-style: none; }
.counts li { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .5rem 1rem; }
.counts b { font-size: 1.4rem; display: block; line-height: 1.2; }
section { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .9rem 1.1rem; margin: 0 0 1rem; }
.finding { border-top: 1px solid var(--line); margin-top: .7rem; padding-top: .6rem; }
.finding p { margin: .15rem 0; }
.tag { font-weight: 600; }
.error { color: var(--error); } .warning { color: var(--warning); } .notice { color: var(--notice); } .good { color: var(--good); }
.rule { font-family: ui-monospace, monospace; border: 1px solid var(--line); border-radius: .3rem; padding: 0 .35rem; margin: 0 .35rem; }
pre { background: var(--code); border-radius: .35rem; padding: .5rem .7rem; margin: .4rem 0; overflow-x: auto; font: 13px/1.45 ui-monospace, monospace; }
.fix { margin-top: .7rem; }
summary { cursor: pointer; color: var(--soft); }
ul { padding-left: 1.2rem; }
@media print { body { background: #fff; } section { break-inside: avoid; } }
)css";

void add_finding(std::string& out, const AuditFinding& finding) {
  out += fmt::format(
      "<div class=\"finding\" id=\"{}\">\n<p><span class=\"tag {}\">{}</span><span class=\"rule\">{}</span>{}</p>\n",
      html_plain(finding.id), to_word(finding.severity), to_word(finding.severity), html_plain(finding.rule),
      html_plain(finding.what));
  out += fmt::format("<p class=\"soft\">{} [{}]</p>\n", html_plain(finding.why), html_plain(finding.source));
  for (const std::string& cost : costs_of(finding.cost))
    out += fmt::format("<p class=\"warning\">Costs {}.</p>\n", html_plain(cost));
  if (!finding.fix.advice.empty()) out += fmt::format("<p>{}</p>\n", html_plain(finding.fix.advice));
  if (!finding.fix.caution.empty())
    out += fmt::format("<p><span class=\"tag error\">Caution:</span> {}</p>\n", html_plain(finding.fix.caution));
  out += "</div>\n";
}

void add_subject(std::string& out, const AuditSubject& subject) {
  const AuditFinding& first = *subject.findings.front();
  out += fmt::format("<section>\n<h2>{}", html_plain(subject.subject));
  if (subject.subject.starts_with("vm/") && !first.name.empty())
    out += fmt::format(" <span class=\"soft\">{}{}</span>", html_plain(first.name),
                       first.node.empty() ? "" : " on " + html_plain(first.node));
  out += "</h2>\n";
  for (const AuditFinding* finding : subject.findings) add_finding(out, *finding);
  for (const std::string_view command : commands_of(subject)) {
    const auto with = std::ranges::find_if(subject.findings, [command](const AuditFinding* finding) {
      return std::ranges::find(finding->fix.commands, command) != finding->fix.commands.end();
    });
    out += fmt::format(
        "<div class=\"fix\"><span class=\"tag good\">Fix</span> <span class=\"soft\">({})</span><pre>{}</pre></div>\n",
        to_text((*with)->fix.effect), html_plain(command));
  }
  std::string lines;
  for (const AuditFinding* finding : subject.findings)
    if (!finding->fix.fleet.empty()) lines += html_plain(fleet_line(finding->fix)) + "\n";
  if (!lines.empty()) out += "<details><summary>In a fleet</summary><pre>" + lines + "</pre></details>\n";
  out += "</section>\n";
}

void add_list(std::string& out, std::string_view title, const std::vector<std::string>& entries) {
  if (entries.empty()) return;
  out += fmt::format("<section>\n<h2>{}</h2>\n<ul>\n", title);
  for (const std::string& entry : entries) out += "<li>" + html_plain(entry) + "</li>\n";
  out += "</ul>\n</section>\n";
}

}  // namespace

std::string audit_html(const AuditReport& report, const std::string& written) {
  const std::string cluster = report.cluster_name.empty() ? "a standalone node" : report.cluster_name;
  std::string out = fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
      "<title>Audit of {}</title>\n<style>{}</style>\n</head>\n<body>\n<main>\n<h1>Audit of {}</h1>\n"
      "<p class=\"soft\">{} · {}</p>\n",
      html_plain(cluster), kStyle, html_plain(cluster), html_plain(extent_of(report)), html_plain(written));
  out += "<ul class=\"counts\">\n";
  const auto count = [&out](std::string_view name, std::string_view style, std::size_t number) {
    out += fmt::format("<li class=\"{}\"><b>{}</b>{}</li>\n", style, number, name);
  };
  count("errors", "error", count_of(report, Severity::kError));
  count("warnings", "warning", count_of(report, Severity::kWarning));
  count("notices", "notice", count_of(report, Severity::kNotice));
  count("suppressed", "soft", report.suppressed.size());
  out += "</ul>\n";
  if (report.findings.empty()) out += "<section><h2 class=\"good\">Nothing to mend</h2></section>\n";
  for (const AuditSubject& subject : by_subject(report)) add_subject(out, subject);
  std::vector<std::string> entries;
  for (const SuppressedFinding& entry : report.suppressed)
    entries.push_back(fmt::format("{}: {}{}", entry.finding.id, entry.reason,
                                  entry.until.empty() ? "" : fmt::format(" (until {})", entry.until)));
  entries.insert(entries.end(), report.remarks.begin(), report.remarks.end());
  add_list(out, "Suppressed", entries);
  entries.clear();
  for (const NotChecked& entry : report.not_checked) entries.push_back(entry.what + ": " + entry.reason);
  add_list(out, "Not checked", entries);
  return out + "</main>\n</body>\n</html>\n";
}

}  // namespace pvr::cli
