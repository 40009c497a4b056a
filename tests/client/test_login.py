"""Where the client finds its server and its key: argument, environment, login file, default."""

import stat
from pathlib import Path

import pytest

from polyprefix_client import Client, InvalidLogin, InvalidUrl, Login
from polyprefix_client.login import (
    DEFAULT_URL,
    delete_login,
    find_connection,
    login_path,
    read_login,
    write_login,
)

URL, KEY = "POLYPREFIX_URL", "POLYPREFIX_KEY"


def test_arguments_come_before_the_environment_the_login_and_the_defaults() -> None:
    found = find_connection()
    assert (found.url, found.key, found.url_source) == (DEFAULT_URL, "", "default")
    write_login(Login("http://login/", "pp_login"))
    found = find_connection()
    assert (found.url, found.key) == ("http://login", "pp_login")
    assert (found.url_source, found.key_source) == ("login file", "login file")
    environment = {URL: "http://variable", KEY: "pp_variable"}
    found = find_connection(environment=environment)
    assert (found.url, found.key, found.url_source) == (
        "http://variable",
        "pp_variable",
        "environment",
    )
    found = find_connection("http://argument", "pp_argument", environment=environment)
    assert (found.url, found.key) == ("http://argument", "pp_argument")
    assert (found.url_source, found.key_source) == ("argument", "argument")


def test_an_empty_variable_counts_as_unset() -> None:
    write_login(Login("http://login", "pp_login"))
    assert find_connection(environment={URL: "", KEY: ""}).key == "pp_login"


def test_the_key_of_a_login_is_sent_to_no_other_server() -> None:
    write_login(Login("http://login", "pp_login"))
    assert find_connection("http://other").key == ""
    assert find_connection("http://login/").key == "pp_login"
    assert find_connection(environment={URL: "http://other"}).key == ""


def test_an_empty_key_sends_none() -> None:
    write_login(Login("http://login", "pp_login"))
    assert find_connection(key="").key == ""
    assert find_connection(key="", environment={KEY: "pp_variable"}).key == ""


def test_only_the_owner_may_read_the_login_file() -> None:
    path = write_login(Login("http://login", "pp_login"))
    path.chmod(0o644)
    assert write_login(Login("http://login", "pp_new")) == path == login_path()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [one.name for one in path.parent.iterdir()] == ["login.json"]
    assert read_login() == Login("http://login", "pp_new")
    assert delete_login()
    assert not delete_login()
    assert read_login() is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"url": "http://x"}'])
def test_a_damaged_login_file_is_an_error_that_names_it(text: str) -> None:
    path = write_login(Login("http://login", "pp_login"))
    path.write_text(text)
    with pytest.raises(InvalidLogin, match=r"login\.json cannot be read.*polyprefix login"):
        Client()
    assert find_connection("http://x", "pp_y").key == "pp_y"  # nothing of the file is needed


def test_keys_do_not_appear_in_representations(tmp_path: Path) -> None:
    found = find_connection("http://x", "pp_secret")
    assert "pp_secret" not in repr(found)
    assert "pp_secret" not in repr(Login("http://x", "pp_secret"))


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://host", "http://", "http://host:port", "host"]
)
def test_a_url_that_is_not_one_of_a_server_is_rejected(url: str) -> None:
    with pytest.raises(InvalidUrl, match="Invalid URL"):
        Client(url)
