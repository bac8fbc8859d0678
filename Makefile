# Two commands: `make demo` shows a running stack, `make test` proves the house. `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
STACKUP := $(VENV)/bin/stackup
SYSTEM_PACKAGES := python3-venv libnftables1 libseccomp2
TEST_PACKAGES := busybox-static nftables iproute2

.PHONY: help demo test check install bench clean system-packages test-packages

help:
	@echo "make demo     set up, run the guestbook, fetch its page"
	@echo "make test     lint, types and all tests"
	@echo "make check    lint, types and the tests that need no root"
	@echo "make bench    measure beside docker-compose and podman where they are installed"
	@echo "make install  install the stackup command for this machine"
	@echo "make clean    take the virtual environment and caches away"

demo: $(VENV)/installed
	@tools/demo

test: $(VENV)/installed-dev test-packages
	@tools/check all

check: $(VENV)/installed-dev
	@tools/check unit

bench: $(VENV)/installed-dev
	@$(VENV)/bin/python -m tests.bench

install: system-packages
	$(PYTHON) -m venv /opt/stackup
	/opt/stackup/bin/pip install --quiet .
	ln -sf /opt/stackup/bin/stackup /usr/local/bin/stackup
	@echo "stackup is installed: $$(/usr/local/bin/stackup version)"

$(VENV)/installed: pyproject.toml | system-packages
	@echo "setting up $(VENV) ..."
	@$(PYTHON) -c 'import sys; sys.exit("stackup needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else 0'
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/pip install --quiet --upgrade 'pip>=25.1'
	@$(VENV)/bin/pip install --quiet --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@$(VENV)/bin/pip install --quiet --group dev
	@touch $@

# What is missing is installed as root, otherwise named.
system-packages:
	@tools/system-packages $(SYSTEM_PACKAGES)

test-packages: | system-packages
	@tools/system-packages $(TEST_PACKAGES)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache dist build
