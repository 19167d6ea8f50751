"""Checks fleet files against the JSON Schema with a validator that shares nothing with ours.

    validate.py SCHEMA good FILE... bad FILE...

Exit code 77: the modules are not installed.
"""
import json
import re
import sys

try:
    import jsonschema
    import yaml
except ImportError as missing:
    print(f"not checked: {missing}")
    sys.exit(77)


class Core(yaml.SafeLoader):
    """YAML 1.2: only true and false are booleans, as in the fleet language."""


Core.yaml_implicit_resolvers = {}
for tag, pattern, first in (("bool", r"^(?:true|false)$", "tf"), ("int", r"^-?(?:0|[1-9][0-9]*)$", "-0123456789"),
                            ("float", r"^-?[0-9]+\.[0-9]+$", "-0123456789"), ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""])):
    Core.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), list(first))

with open(sys.argv[1], encoding="utf-8") as stream:
    schema = json.load(stream)
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)

wanted = None
failed = False
for argument in sys.argv[2:]:
    if argument in ("good", "bad"):
        wanted = argument
        continue
    with open(argument, encoding="utf-8") as stream:
        errors = [f"{'/'.join(map(str, e.absolute_path))}: {e.message[:300]}" for e in validator.iter_errors(yaml.load(stream, Core))]
    if (wanted == "good") == bool(errors):
        failed = True
        print(f"{argument} should be {wanted}, but: {errors or 'no errors'}")
sys.exit(1 if failed else 0)
