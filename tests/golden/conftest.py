def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes gigabytes or minutes")
