# The front door. Each target installs what it lacks on Debian when root or passwordless sudo allows, and otherwise
# names the packages in one line to paste. The work itself is Meson's and ninja's.

BUILD_PACKAGES = gcc libc6-dev meson ninja-build pkg-config python3 xz-utils libjansson-dev libpcre2-dev \
  libutf8proc-dev nettle-dev libmicrohttpd-dev libgnutls28-dev libcurl4-gnutls-dev libjpeg62-turbo-dev libpng-dev libwebp-dev libtiff-dev \
  libavformat-dev libavcodec-dev libavutil-dev libswscale-dev
TEST_PACKAGES = g++ chromium gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user clang libclang-rt-dev llvm python3-venv curl man-db haproxy iproute2 jq openssl systemd
FORMAT_PACKAGES = clang-format

BUILD = build
# Warnings are errors where a machine reads them; a newcomer's newer compiler must not stop the build.
WERROR = $(if $(filter true,$(CI)),--werror)
FUZZ_SECONDS ?= 600

.PHONY: build run test soak bench bench-peers fuzz wheel format install help packages test-packages all clean
.DEFAULT_GOAL = build

build: $(BUILD)/build.ninja ## build/qvec (the default)
	@ninja -C $(BUILD) front

run: build ## build, then a short session: texts and pictures embedded, ranked, found
	@tools/session.py $(BUILD) $(if $(FIND),"$(FIND)")

test: test-packages $(BUILD)/build.ninja .venv/ready .venv-python/ready .venv-cohere5/ready ## everything: C tests, sanitizers, Python tests, fuzzing (20 minutes on two cores)
	@tools/run_tests.py --build $(BUILD) --python .venv/bin/python

bench: $(BUILD)/build.ninja ## measure this machine: one table
	@ninja -C $(BUILD) --quiet
	@tools/run_bench.py --build $(BUILD)

bench-peers: $(BUILD)/build.ninja $(BUILD)/peers/ready ## the same cases on torch, and Hugging Face tokenizers, beside it (installs torch: several GB)
	@ninja -C $(BUILD) --quiet
	@$(BUILD)/peers/bin/python bench/peers/hf_tokenizers.py --build $(BUILD)
	@$(BUILD)/peers/bin/python bench/peers/torch_fp32.py --build $(BUILD)

$(BUILD)/peers/ready: bench/peers/requirements.txt | test-packages
	python3 -m venv $(BUILD)/peers
	$(BUILD)/peers/bin/python -m pip install --quiet --disable-pip-version-check -r bench/peers/requirements.txt
	@touch $@

soak: test-packages $(BUILD)/build.ninja .venv/ready ## ten times too much for a minute, and 50,000 requests: goodput, recovery, memory
	@ninja -C $(BUILD) --quiet
	@QVEC_SOAK=1 QVEC_BUILD=$(abspath $(BUILD)) .venv/bin/python -m pytest -q -s -p no:cacheprovider tests/api/test_overload.py

fuzz: test-packages ## fuzz every parser for FUZZ_SECONDS (600) each
	@tools/run_tests.py --build $(BUILD) --only fuzz --fuzz-seconds $(FUZZ_SECONDS)

wheel: $(BUILD)/build.ninja $(BUILD)/wheel-tools/ready ## a Python wheel with every library inside but libc and GCC's: build/wheels
	@rm -rf $(BUILD)/wheels && mkdir -p $(BUILD)/wheels
	QVEC_BUILD=$(CURDIR)/$(BUILD) $(BUILD)/wheel-tools/bin/python -m pip wheel --quiet --no-deps -w $(BUILD)/wheels/plain ./python
	PATH=$(CURDIR)/$(BUILD)/wheel-tools/bin:$$PATH python tools/repair_wheel.py -w $(BUILD)/wheels $(BUILD)/wheels/plain/*.whl
	@ls -l $(BUILD)/wheels/*.whl

$(BUILD)/wheel-tools/ready: python/requirements-wheel.txt | test-packages
	python3 -m venv $(BUILD)/wheel-tools
	$(BUILD)/wheel-tools/bin/python -m pip install --quiet --disable-pip-version-check -r python/requirements-wheel.txt
	@touch $@

format: ## rewrite the C files in the house style
	@tools/packages.sh $(FORMAT_PACKAGES)
	@git ls-files '*.c' '*.h' | xargs clang-format -i

install: build ## install program, library, header, pkg-config file, man page (DESTDIR and the prefix of the build folder apply)
	@ninja -C $(BUILD) --quiet
	meson install -C $(BUILD) --no-rebuild

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' Makefile

clean: ## remove everything that was built
	rm -rf $(BUILD) build-asan build-tsan build-neon

packages:
	@tools/packages.sh $(BUILD_PACKAGES)

test-packages:
	@tools/packages.sh $(BUILD_PACKAGES) $(TEST_PACKAGES)

$(BUILD)/build.ninja: | packages
	meson setup $(BUILD) --buildtype=release $(WERROR)

# Only `make test` needs Python packages; they live in a folder of their own.
.venv/ready: tests/requirements.txt | test-packages
	python3 -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	@touch $@

.venv-cohere5/ready: tests/api/requirements-cohere5.txt | test-packages
	python3 -m venv .venv-cohere5
	.venv-cohere5/bin/python -m pip install --quiet --disable-pip-version-check -r tests/api/requirements-cohere5.txt
	@touch $@

.venv-python/ready: tests/python/requirements.txt tests/python/other_pythons.py | test-packages
	python3 -m venv .venv-python
	.venv-python/bin/python -m pip install --quiet --disable-pip-version-check -r tests/python/requirements.txt
	.venv-python/bin/python tests/python/other_pythons.py .venv-python
	@touch $@
