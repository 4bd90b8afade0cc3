// Parts of Monaco that are loaded for what they do and come without types.
declare module 'monaco-editor/esm/vs/*.js'
