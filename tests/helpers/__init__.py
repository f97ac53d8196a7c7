"""What the tests share: real servers, a scripted fault server, cassettes."""
