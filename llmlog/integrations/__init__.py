"""What calls back from inside other systems: one module for each, the only place where that system is imported.

    from llmlog.integrations.langchain import CallbackHandler

None is imported with llmlog: each names the extra to install where its system is missing.
"""
