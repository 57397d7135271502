def test_the_reference_page_is_what_the_models_say() -> None:
    from tools.params_reference import PAGE, page

    assert PAGE.read_text(encoding="utf-8") == page(), "run: python tools/params_reference.py"
