export { turnstile, turnstileModule } from './plugin.ts';
