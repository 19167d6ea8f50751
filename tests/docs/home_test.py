"""Where the project lives is said in CMakeLists.txt; what has to spell it out says the same."""
import pathlib
import re
import unittest

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Home(unittest.TestCase):
    def test_the_collection_names_the_home_of_the_project(self):
        text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
        home = re.search(r'^set\(PVERECONCILE_HOMEPAGE "(.+?)"', text, re.MULTILINE).group(1)
        galaxy = yaml.safe_load((ROOT / "ansible/galaxy.yml").read_text(encoding="utf-8"))
        self.assertEqual(galaxy["repository"], home)
        for key in ("documentation", "issues"):
            self.assertTrue(galaxy[key].startswith(home + "/"), galaxy[key])

    def test_every_version_is_the_same(self):
        text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
        version = re.search(r"^project\(pvereconcile VERSION ([0-9.]+) ", text, re.MULTILINE).group(1)
        galaxy = yaml.safe_load((ROOT / "ansible/galaxy.yml").read_text(encoding="utf-8"))
        self.assertEqual(galaxy["version"], version)
        for name, pattern in (("github.yml", r"pvereconcile@v([0-9.]+)"), ("gitlab-ci.yml", r"/pvereconcile:([0-9.]+)"), ("woodpecker.yml", r"/pvereconcile:([0-9.]+)")):
            found = re.findall(pattern, (ROOT / "examples/gitops" / name).read_text(encoding="utf-8"))
            self.assertTrue(found, name)
            self.assertEqual(set(found), {version}, name)


if __name__ == "__main__":
    unittest.main()
